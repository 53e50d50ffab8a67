"""Brokers, voters and copies of a cluster: asked for and changed, one request each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import errors as kafka_errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import DescribeConfigsRequest

from shared.kafka.brokers import Brokers
from shared.kafka.errors import AWAY, KafkaAway, said, unbroken
from shared.kafka.log_dirs import LogDirsRequest
from shared.kafka.membership_requests import (
    BROKER,
    TOPIC,
    AddVoterRequest,
    ClusterRequest,
    ConfigRequest,
    ElectRequest,
    QuorumRequest,
    ReassignRequest,
    RemoveVoterRequest,
    UnregisterRequest,
    Voter,
)
from shared.kafka.metadata import MetadataRequest
from shared.kafka.quotas import ReadQuotaRequest
from shared.kafka.topics import open_client
from shared.membership import (
    BYTES_KEPT,
    IN_SYNC_MIN,
    Controller,
    Copies,
    Disk,
    Facts,
    Member,
    read_rack,
    unnamed,
)

ONE_TIMEOUT_S: Final = 3.0
READING_MS: Final = 10_000
"""An observer reads every half second."""
_ELECTION_NOT_NEEDED: Final = 84
_DUPLICATE_VOTER, _VOTER_NOT_FOUND = 126, 127
RATE_SETTINGS: Final = ("leader.replication.throttled.rate", "follower.replication.throttled.rate")
CONTROLLERS: Final = "controller.quorum.bootstrap.servers"
THROTTLED: Final = (
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
)


def that_read(voters: Sequence[Any], observers: Sequence[Any]) -> list[Any]:
    """Return the observers that still read, one for each number.

    Kafka lists one that is gone for minutes more, a removed voter too: a vote for its disk, when
    another one came under its number, would be a vote of the dead. A row is of DescribeQuorum: its
    fourth value is when it last read, in ms of the leader's clock; the leader's own is now.
    """
    now_ms = max((row[3] for row in (*voters, *observers)), default=0)
    newest = {row[0]: row for row in sorted(observers, key=lambda row: int(row[3]))}
    return [row for row in newest.values() if now_ms - row[3] <= READING_MS]


def _member(number: int, host: str, port: int, rack: str, *, is_alive: bool) -> Member:
    machine, site = read_rack(rack)
    return Member(number, machine or unnamed(number), host, port, is_alive, site)


class MembershipRefused(Exception):
    """The cluster does not take the change now; the text is one sentence."""


class Membership:
    """One connection to a cluster, for facts and changes. Every method raises KafkaAway."""

    def __init__(self, client: AIOKafkaClient) -> None:
        """client: connected."""
        self._client = client

    async def facts(self) -> Facts:
        """Return all that is known of members, votes and copies."""
        cluster = await self._ask(ClusterRequest())
        _raise_for(cluster.error_code, cluster.error_message)
        members = tuple(
            _member(number, host, port, rack or "", is_alive=not is_fenced)
            for number, host, port, rack, is_fenced, _tags in sorted(cluster.brokers)
        )
        copies = tuple(await self.copies())
        topics = sorted({each.topic for each in copies})
        settings = await self.topic_settings(topics, [IN_SYNC_MIN, BYTES_KEPT])
        controllers = tuple(await self._controllers())
        return Facts(
            cluster.cluster_id,
            members,
            controllers,
            copies,
            {topic: int(found[IN_SYNC_MIN]) for topic, found in settings.items()},
            {topic: int(found[BYTES_KEPT]) for topic, found in settings.items()},
            # Asked for only while one of two is about to stop voting.
            await self.finds(members) if sum(each.is_voter for each in controllers) == 2 else {},
        )

    async def finds(self, members: Iterable[Member]) -> dict[int, frozenset[str]]:
        """Return where those that are alive look for controllers while they do not vote.

        Nothing for one that does not answer.
        """
        found = {}
        for number in (each.number for each in members if each.is_alive):
            asked = [(BROKER, str(number), [CONTROLLERS])]
            # Of one that stands still nothing is known, and it shall hold nothing up.
            found[number] = frozenset[str]()
            with contextlib.suppress(KafkaAway, MembershipRefused, TimeoutError):
                async with asyncio.timeout(ONE_TIMEOUT_S):
                    answer = await self._ask(DescribeConfigsRequest(resources=asked), number)
                ((code, text, _kind, _name, entries),) = answer.resources
                _raise_for(code, text)
                found[number] = frozenset(str(entries[0][1]).split(","))
        return found

    async def _controllers(self) -> list[Controller]:
        quorum = await self._ask(QuorumRequest())
        _raise_for(quorum.error_code, quorum.error_message)
        (_name, ((_number, code, text, _leader, _epoch, end, voters, observers, _t),), _tags) = (
            quorum.topics[0]
        )
        _raise_for(code, text)
        return [
            Controller(number, directory, is_voter, max(0, end - at))
            for is_voter, group in ((True, voters), (False, that_read(voters, observers)))
            for number, directory, at, _fetched, _caught_up, _tags in sorted(group)
        ]

    async def copies(self) -> list[Copies]:
        """Return every partition of every topic, Kafka's own too. Raises MembershipRefused."""
        metadata = await self._ask(MetadataRequest())
        found = []
        for topic in sorted(metadata.found(), key=lambda each: str(each.name)):
            _raise_for(topic.error_code, topic.name)
            for each in sorted(topic.partitions, key=lambda each: int(each.partition)):
                replicas, in_sync = tuple(each.replicas), tuple(each.isr)
                found.append(Copies(topic.name, each.partition, each.leader, replicas, in_sync))
        return found

    async def topic_settings(
        self, topics: Sequence[str], names: Sequence[str]
    ) -> dict[str, dict[str, str]]:
        """Return those settings of topics, in Kafka's own names. Raises MembershipRefused."""
        if not topics:
            return {}
        asked = [(TOPIC, topic, list(names)) for topic in topics]
        answer = await self._ask(DescribeConfigsRequest(resources=asked))
        found: dict[str, dict[str, str]] = {}
        for code, text, _kind, topic, entries in answer.resources:
            _raise_for(code, text)
            found[topic] = {entry[0]: entry[1] for entry in entries}
        return found

    async def disk(self, number: int) -> Disk:
        """Return what broker `number` holds; of several disks, room on the fullest.

        Raises MembershipRefused.
        """
        answer = await self._ask(LogDirsRequest(), number)
        _raise_for(answer.error_code, "")
        total_bytes = usable_bytes = -1
        sizes: dict[tuple[str, int], int] = {}
        for code, directory, topics, total, usable, _tags in answer.directories:
            _raise_for(code, directory)
            if usable_bytes < 0 or usable < usable_bytes:
                total_bytes, usable_bytes = total, usable
            for topic, parts, _topic_tags in topics:
                for partition, size, _behind, is_future, _part_tags in parts:
                    if not is_future:
                        sizes[topic, partition] = size
        return Disk(total_bytes, usable_bytes, sizes)

    async def limit_readers(self, bytes_per_s: int) -> None:
        """Let no client read more than that from a broker, each for itself.

        Raises MembershipRefused.
        """
        answer = await self._ask(ReadQuotaRequest(bytes_per_s))
        for code, text, _entity, _tags in answer.entries:
            _raise_for(code, text)

    async def add_voter(self, cluster_id: str, controller: Controller, member: Member) -> None:
        """Let an observer vote. Raises MembershipRefused."""
        voter = Voter(
            controller.number, controller.directory_id, member.host, member.controller_port
        )
        answer = await self._ask(AddVoterRequest(cluster_id, voter))
        _raise_for(answer.error_code, answer.error_message, fine=(_DUPLICATE_VOTER,))

    async def remove_voter(self, cluster_id: str, controller: Controller) -> None:
        """Let a voter only read along. Raises MembershipRefused."""
        voter = Voter(controller.number, controller.directory_id)
        answer = await self._ask(RemoveVoterRequest(cluster_id, voter))
        _raise_for(answer.error_code, answer.error_message, fine=(_VOTER_NOT_FOUND,))

    async def unregister(self, number: int) -> None:
        """Forget a broker that is gone. Raises MembershipRefused."""
        answer = await self._ask(UnregisterRequest(number))
        _raise_for(answer.error_code, answer.error_message)

    async def reassign(self, wanted: Iterable[tuple[str, int, Sequence[int]]]) -> None:
        """Begin to bring partitions to replicas, the preferred leader first.

        Raises MembershipRefused.
        """
        answer = await self._ask(ReassignRequest(_by_topic(wanted)))
        _raise_for(answer.error_code, answer.error_message)
        for name, parts, _tags in answer.topics:
            for number, code, text, _part_tags in parts:
                _raise_for(code, f"{name}/{number}: {text or ''}")

    async def elect(self, places: Iterable[tuple[str, int]]) -> None:
        """Have the preferred replicas lead. Raises MembershipRefused."""
        topics: dict[str, list[int]] = {}
        for topic, partition in places:
            topics.setdefault(topic, []).append(partition)
        answer = await self._ask(ElectRequest(topics))
        _raise_for(answer.error_code, "")
        for name, parts, _tags in answer.topics:
            for number, code, text, _part_tags in parts:
                _raise_for(code, f"{name}/{number}: {text or ''}", fine=(_ELECTION_NOT_NEEDED,))

    async def limit_copies(self, numbers: Iterable[int], bytes_per_s: int) -> None:
        """Let no broker send or take more than that for copies that are behind.

        What is in sync is never held back by it. Raises MembershipRefused.
        """
        rates = dict.fromkeys(RATE_SETTINGS, str(bytes_per_s))
        for number in numbers:
            # Each takes only its own.
            await self._configure({(BROKER, str(number)): rates}, number)

    async def set_topics(self, topics: Iterable[str], settings: Mapping[str, str]) -> None:
        """Set the same settings of several topics. Raises MembershipRefused."""
        await self._configure({(TOPIC, topic): settings for topic in topics})

    async def _configure(
        self, resources: Mapping[tuple[int, str], Mapping[str, str]], number: int | None = None
    ) -> None:
        answer = await self._ask(ConfigRequest(resources), number)
        for code, text, _kind, name, _tags in answer.resources:
            _raise_for(code, f"{name}: {text or ''}")

    async def _ask(self, request: Any, number: int | None = None) -> Any:  # Any: aiokafka
        """Send to broker `number`, or to any."""
        client = self._client
        try:
            node = client.get_random_node() if number is None else number
            return await unbroken(lambda: client.send(node, request))
        except AWAY as error:
            raise KafkaAway(said(error)) from error


@contextlib.asynccontextmanager
async def open_membership(brokers: Brokers) -> AsyncIterator[Membership]:
    """Connect for the block. Raises KafkaAway."""
    try:
        async with open_client(brokers, "steadflow-membership") as client:
            yield Membership(client)
    except AWAY as error:
        raise KafkaAway(said(error)) from error


def _by_topic(
    wanted: Iterable[tuple[str, int, Sequence[int]]],
) -> dict[str, dict[int, Sequence[int]]]:
    topics: dict[str, dict[int, Sequence[int]]] = {}
    for topic, partition, replicas in wanted:
        topics.setdefault(topic, {})[partition] = replicas
    return topics


def _raise_for(code: int, text: str | None, *, fine: Sequence[int] = ()) -> None:
    if code in (0, *fine):
        return
    error = kafka_errors.for_code(code)
    if getattr(error, "retriable", False):
        raise KafkaAway(f"{error.__name__} {text or ''}".strip())
    raise MembershipRefused(f"{text or error.__name__} ({code})")
