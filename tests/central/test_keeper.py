"""Whoever keeps Kafka's machines goes on where another one left off."""

import asyncio
from collections.abc import Callable, Collection, Mapping

import pytest

import services.central.brokers.keeper as keeping
from services.central.brokers.growth import Wait
from services.central.brokers.keeper import BrokerLimits, Keeper, number_of, wishes_over
from shared.kafka import Brokers, KafkaAway
from shared.membership import Controller, Facts, Member
from shared.settings_events import MachineLeaves, SettingRemoved, SettingsEvent, key_of
from shared.tasks import end_task
from shared.tls import TlsError
from tests.central.kafka_machines import MemoryMachines, cluster, dead, joined

TURNS_MAX = 60


class Settings:
    """Who leaves, as every central reads it."""

    def __init__(self) -> None:
        self.kept: dict[str, MachineLeaves] = {}

    def leaving(self) -> Mapping[str, MachineLeaves]:
        return {each.machine: each for each in self.kept.values()}

    async def change(self, event: SettingsEvent) -> None:
        if isinstance(event, SettingRemoved):
            self.kept.pop(event.key, None)
        else:
            assert isinstance(event, MachineLeaves)
            self.kept[key_of(event)] = event


def keeper(
    machines: MemoryMachines,
    settings: Settings,
    *,
    home: int = 1,
    is_primary: bool = True,
    is_reached: bool = True,
    centrals: tuple[str, ...] = (),
    able: tuple[str, ...] = (),
    limits: BrokerLimits = BrokerLimits(1, 2),  # noqa: B008  a tuple never changes
    noted: Callable[[str | None], None] = lambda text: None,
    closed: Collection[int] = (),
    brokers: Callable[[], Brokers | None] | None = None,
) -> Keeper:
    async def reach(host: str, port: int) -> str:
        return f"{host}:{port} is closed" if port in closed else ""

    return Keeper(
        brokers=brokers or (lambda: Brokers("unused:1") if is_reached else None),
        local=Brokers("unused:1"),
        home=home,
        is_primary=lambda: is_primary,
        centrals=lambda: centrals,
        able=lambda: able,
        limits=limits,
        note_disks=noted,
        leaving=settings.leaving,
        change=settings.change,
        now_ms=lambda: 5,
        connect=machines.connect,
        reach=reach,
    )


async def rest(keeper: Keeper) -> None:
    """Turn until nothing is owed, or only a wait for what does not come."""
    for _ in range(TURNS_MAX):
        await keeper.turn()
        if keeper.step is None or isinstance(keeper.step, Wait):
            return
    raise AssertionError(f"still owed: {keeper.step}")


@pytest.mark.parametrize(
    ("machines", "able", "found"),
    [
        ("m1 m2 w", "central-a central-b", "central-a+central-b"),
        ("m1 m2 w", "central-a m2", "central-a m2"),
        # The brokers are the user's own, and name no machine.
        ("broker_1 broker_2 broker_3", "central-a central-b", "central-a central-b"),
    ],
)
def test_centrals_are_counted_by_machine(machines: str, able: str, found: str) -> None:
    facts = cluster(1, 2, 3)
    members = [
        each._replace(machine=name.replace("_", " "))
        for each, name in zip(facts.members, machines.split(), strict=True)
    ]
    facts = facts._replace(members=tuple(members))
    kept = keeper(MemoryMachines(facts), Settings(), able=tuple(able.split()))
    assert kept._able_by_machine(facts) == [each.split("+") for each in found.split()]


async def grown(settings: Settings) -> MemoryMachines:
    machines = MemoryMachines(cluster(1, 2, 3))
    await rest(keeper(machines, settings))
    assert machines.facts_now.voters == (1, 2, 3)
    return machines


def machines_in(facts: Facts) -> set[str]:
    return {each.machine for each in facts.members}


@pytest.mark.parametrize("turns", range(6))
async def test_the_next_primary_goes_on_with_a_machine_that_leaves(turns: int) -> None:
    settings = Settings()
    machines = await grown(settings)
    machines.facts_now = dead(machines.facts_now, 3)
    first = keeper(machines, settings)
    await first.turn()
    assert await first.leave("m3", had_central=True)
    for _ in range(turns):
        await first.turn()

    second = keeper(machines, settings, home=2)
    await rest(second)
    await second.turn()

    assert machines_in(machines.facts_now) == {"m1", "m2"}
    assert machines.facts_now.voters in ((1,), (2,))

    # Started again by nobody's wish, it gets nothing, and is forgotten again.
    machines.facts_now = joined(machines.facts_now, 3)
    await rest(second)
    assert all(3 not in each.replicas for each in machines.facts_now.copies)
    assert machines.facts_now.voters in ((1,), (2,))
    await second.stay("m3")
    await rest(second)
    assert len(machines.facts_now.voters) == 3


async def test_without_a_wish_a_dead_machine_stays() -> None:
    settings = Settings()
    machines = await grown(settings)
    machines.facts_now = dead(machines.facts_now, 3)

    await rest(keeper(machines, settings, home=2))

    assert machines_in(machines.facts_now) == {"m1", "m2", "m3"}


async def test_another_machine_takes_the_place_of_a_dead_one() -> None:
    settings = Settings()
    machines = await grown(settings)
    machines.facts_now = dead(machines.facts_now, 3)
    here = keeper(machines, settings)
    await here.turn()
    assert await here.leave("m3", replaced_by="m4")
    await rest(here)
    assert machines.facts_now.voters == (1, 2, 3)
    assert "m3 is replaced by m4 as soon as" in here.sentences()[-1]

    number = number_of("m4")
    facts = joined(machines.facts_now, number)
    newcomer = facts.members[-1]._replace(machine="m4")
    machines.facts_now = facts._replace(members=(*facts.members[:-1], newcomer))
    await rest(here)
    await here.turn()

    assert machines_in(machines.facts_now) == {"m1", "m2", "m4"}
    assert set(machines.facts_now.voters) == {1, 2, number}


async def test_one_whose_controller_nobody_reaches_gets_no_vote_and_leaves_no_pair() -> None:
    machines, settings = MemoryMachines(cluster(1, 2, 3)), Settings()
    port_of_3 = machines.facts_now.members[2].controller_port
    here = keeper(machines, settings, closed=[port_of_3])
    await rest(here)
    assert machines.facts_now.voters == (1,)
    assert "reaches the controller of m3 at h:31" in str(here.step)

    pair = cluster(1, 2, 3, voters=(1, 2)).controllers
    machines.facts_now = machines.facts_now._replace(controllers=pair)
    await rest(here)
    assert machines.facts_now.voters == (1,)

    await rest(keeper(machines, settings))
    assert len(machines.facts_now.voters) == 3


async def test_one_whose_vote_the_quorum_does_not_take_leaves_no_pair() -> None:
    """From the primary it is reached, from the controller that leads it is not."""

    class Refusing(MemoryMachines):
        async def add_voter(self, cluster_id: str, controller: Controller, member: Member) -> None:
            if controller.number == 3:
                raise KafkaAway("RequestTimedOutError")
            await super().add_voter(cluster_id, controller, member)

    machines = Refusing(cluster(1, 2, 3))
    here = keeper(machines, Settings())
    with pytest.raises(KafkaAway):
        await rest(here)
    assert len(machines.facts_now.voters) == 2
    await rest(here)
    assert len(machines.facts_now.voters) == 1
    assert "reaches the controller of m3" in str(here.step)


async def test_who_was_to_take_a_place_may_be_replaced_itself() -> None:
    settings = Settings()
    here = keeper(await grown(settings), settings)
    await here.turn()
    assert await here.leave("m3", replaced_by="m4")
    assert await here.leave("m2", replaced_by="m3")
    assert await here.leave("m3", replaced_by="m5")
    assert {each.machine: each.replaced_by for each in settings.kept.values()} == {
        "m2": "m5", "m3": "m5"
    }  # fmt: skip


async def test_who_joins_again_or_is_heard_again_stays() -> None:
    settings = Settings()
    machines = await grown(settings)
    here = keeper(machines, settings)
    await here.turn()
    assert await here.leave("m2")
    await here.stay("m2")
    assert settings.kept == {}

    assert await here.leave("m3", had_central=True)
    await keeper(machines, settings, centrals=("m3",), is_primary=False).turn()
    assert settings.kept
    await keeper(machines, settings, centrals=("m3",)).turn()
    assert settings.kept == {}


async def test_neither_the_own_machine_nor_an_unknown_one_leaves() -> None:
    settings = Settings()
    here = keeper(await grown(settings), settings)
    await here.turn()

    assert not await here.leave("m1")
    assert not await here.leave("m9")
    assert settings.kept == {}


def test_a_broker_may_go_though_the_central_of_that_machine_lives() -> None:
    assert wishes_over([MachineLeaves("m2", 0)], {"m2"}) == []
    assert wishes_over([MachineLeaves("m2", 0, had_central=True)], {"m2"}) == ["m2"]


async def test_a_certificate_that_cannot_be_read_for_a_moment_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "BUSY_S", 0.0)
    monkeypatch.setattr(keeping, "QUIET_S", 0.0)
    machines, turns = MemoryMachines(cluster(1, 2, 3)), 0

    def brokers() -> Brokers:
        nonlocal turns
        turns += 1
        if turns <= 3:
            raise TlsError("node.key and node.pem do not fit together")
        return Brokers("unused:1")

    one = keeper(machines, Settings(), brokers=brokers)
    running = asyncio.create_task(one.run())
    try:
        async with asyncio.timeout(30):
            while machines.facts_now.voters != (1, 2, 3):
                await asyncio.sleep(0)
                assert not running.done()
    finally:
        await end_task(running)
    assert caplog.text.count("do not fit together") == 1
    assert one.problem == ""
