"""The steps of a join as they are done: each returns the event that tells how it went."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx

from services.standby import measuring
from services.standby.central_here import CentralHere, Differs, IsTooOld
from services.standby.config import StandbyConfig
from services.standby.copy_time import KAFKA_S, Copying, judge, line_of
from services.standby.download import download
from services.standby.joining import (
    CaughtUp,
    Checked,
    Copied,
    Event,
    Joining,
    Proven,
    Registered,
    Restored,
    SnapshotLost,
    SnapshotMade,
    TooOld,
    Work,
)
from services.standby.pace import Progress
from services.standby.preflight import Light, Measured, preflight
from services.standby.primary import DownloadError, Options, Refused, ask, release
from services.standby.primary_client import PrimaryAway, PrimaryClient
from shared.invite_token import parse_token
from shared.kafka import Brokers
from shared.register import (
    Address,
    RegisterError,
    forget_request,
    keep,
    key_and_request,
    register,
)
from shared.this_machine import this_machine
from shared.tls import TlsError, TlsFiles, https_client_context
from shared.tls.writing import OWNER_ONLY, write_whole
from shared.token import read_token

log = logging.getLogger(__name__)

PRIMARY_TIMEOUT_S: Final = 30.0


class StepFailed(Exception):
    """The step did not go and is worth another try; the text is one sentence."""


class StepRefused(Exception):
    """No other try would go better; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the primary told a node that joined. brokers: reached by TLS, `host:port` by commas."""

    brokers: str
    centrals: tuple[str, ...]

    @classmethod
    def read(cls, home: Path) -> "Given":
        """Read what `register` kept. Raises StepRefused."""
        try:
            content = json.loads((home / "given.json").read_text())
            return cls(str(content["brokers"]), tuple(map(str, content["centrals"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StepRefused(f"{home / 'given.json'} cannot be read: join anew") from error


class Steps:
    """Does what is owed, for one machine. All of it may be done again."""

    def __init__(
        self,
        config: StandbyConfig,
        primary: Address,
        now_ms: Callable[[], int],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Build without connecting. now_ms: the wall clock, UTC. now_s: must not fall."""
        self._config = config
        self._primary = primary
        self._now_ms = now_ms
        self._now_s = now_s
        self._client: PrimaryClient | None = None
        self._kafka_s = KAFKA_S
        self.central = CentralHere(
            config.central_url,
            name=config.name,
            data_dir=config.data_dir,
            token=lambda: read_token(config.home / "token"),
        )

    @property
    def tls_dir(self) -> Path:
        """Where this node's certificate is."""
        return self._config.home / "tls"

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def do(self, work: Work, joining: Joining, progress: Callable[[Event], None]) -> Event:
        """Do `work` and return the event it ends with. progress: told of events on the way.

        Raises StepFailed, StepRefused.
        """
        try:
            match work:
                case Work.REGISTER:
                    return await asyncio.to_thread(self._register)
                case Work.CHECK | Work.WATCH:
                    return await self.check()
                case Work.ASK_SNAPSHOT:
                    return await self._ask_snapshot()
                case Work.COPY:
                    return await self._copy(joining, progress)
                case Work.RESTORE:
                    await self.central.restored()
                    return Restored()
                case Work.FOLLOW:
                    await self.central.caught_up()
                    return CaughtUp()
                case Work.PROVE:
                    return Proven(await self.central.proven(joining.snapshot_ms))
                case Work.NOTHING:
                    raise AssertionError(work)
        except IsTooOld as error:
            return TooOld(str(error))
        except Differs as error:
            raise StepFailed(str(error)) from error
        except (PrimaryAway, DownloadError) as error:
            raise StepFailed(str(error)) from error
        except OSError as error:
            raise StepFailed(
                f"{error.filename or 'the disk'}: {error.strerror or error}"
            ) from error
        except TlsError as error:
            raise StepRefused(str(error)) from error

    def _register(self) -> Event:
        config = self._config
        if config.invite_file is None:
            raise StepRefused("this machine did not join yet: it needs the token of an invite")
        try:
            token = parse_token(config.invite_file.read_text())
        except (OSError, ValueError) as error:
            raise StepRefused(str(error)) from error
        made = key_and_request(self.tls_dir, config.name, config.all_hosts)
        try:
            admitted = register(
                self._primary,
                token,
                config.name,
                made.request_pem,
                joins_as="standby",
                replaces=config.replaces,
            )
        except RegisterError as error:
            if not error.is_final:
                raise StepFailed(str(error)) from error
            config.invite_file.unlink(missing_ok=True)
            forget_request(self.tls_dir)
            raise StepRefused(str(error)) from error
        given = dict(admitted.given)
        token_line, key_pem = f"{given.pop('token')}\n", given.pop("authority_key", None)
        # First: a home with the secrets and without it is the one in which the system was made.
        write_whole(config.home / "given.json", json.dumps(given).encode(), mode=OWNER_ONLY)
        if key_pem is not None:
            write_whole(self.tls_dir / "ca.key", str(key_pem).encode(), mode=OWNER_ONLY)
        write_whole(config.home / "token", token_line.encode(), mode=OWNER_ONLY)
        # Last: what is there with the certificate is all there.
        keep(self.tls_dir, made, admitted)
        config.invite_file.unlink(missing_ok=True)
        return Registered()

    async def check(self) -> Checked:
        """Measure and judge. Raises PrimaryAway, TlsError, StepRefused."""
        config, given = self._config, Given.read(self._config.home)
        client = self._opened()
        here = await asyncio.to_thread(this_machine, config.data_dir, now_ms=self._now_ms())
        said = await asyncio.to_thread(client.node)
        places = [(self._primary.host, self._primary.port), *measuring.host_ports(given.brokers)]
        reached = [await measuring.reach(host, port) for host, port in places]
        with measuring.answering([config.https_port]):
            unreachable_back = await asyncio.to_thread(client.reaches, [config.https_port])
        brokers = await self._look_how_long_kafka_keeps(given)
        kafka_ms = [each.round_trip_ms for each in reached[1:] if each.round_trip_ms is not None]
        measured = Measured(
            clock_offset_ms=said.clock_offset_ms,
            kafka_offset_ms=await measuring.kafka_offset_ms(brokers),
            round_trip_ms=min(kafka_ms, default=None),
            inserts_per_s=await measuring.inserts_per_s(config.data_dir / "tmp"),
            unreachable=[each.problem for each in reached if each.problem],
            unreachable_back=unreachable_back,
            kept_days=await measuring.kept_days(),
        )
        copy_line = line_of(
            said.primary.store_bytes, config.copy_bytes_per_s, kafka_s=self._kafka_s
        )
        lines = (*preflight(here, said.primary, measured), copy_line)
        return Checked(lines, self._now_ms())

    async def _look_how_long_kafka_keeps(self, given: Given) -> Brokers:
        """Note it, unless it does not say; return the brokers. Raises TlsError."""
        brokers = Brokers(given.brokers, TlsFiles.in_directory(self.tls_dir))
        found = await measuring.kafka_keeps_s(brokers)
        self._kafka_s = self._kafka_s if found is None else found
        return brokers

    async def _ask_snapshot(self) -> Event:
        asked_ms = self._now_ms()
        options = Options(now_s=time.monotonic)
        async with self._downloading() as client:
            url = await ask(client, made_for=self._config.name, options=options)
        return SnapshotMade(url, asked_ms)

    async def _copy(self, joining: Joining, progress: Callable[[Event], None]) -> Event:
        await self._look_how_long_kafka_keeps(Given.read(self._config.home))
        limit = self._config.copy_bytes_per_s
        options = Options(
            now_s=time.monotonic,
            on_progress=self.watched(joining, progress),
            limit=limit or None,
        )
        folder = self.central.restore_folder
        try:
            async with self._downloading() as client:
                manifest = await download(client, joining.snapshot, folder, options=options)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return SnapshotLost(str(error))
        if joining.again:
            await asyncio.to_thread(self.central.replace_store, manifest.id)
        total = manifest.total_bytes
        return Copied(total, total, is_whole=True)

    def watched(
        self, joining: Joining, progress: Callable[[Event], None]
    ) -> Callable[[Progress], None]:
        """Return what tells of the copy, and raises StepRefused when it cannot end in time."""
        began_s, began_bytes = self._now_s(), -1

        def tell(now: Progress) -> None:
            nonlocal began_bytes
            if began_bytes < 0:
                began_bytes = now.done_bytes
            light, text = judge(
                Copying(
                    now.done_bytes,
                    now.total_bytes,
                    max(0, now.done_bytes - began_bytes),
                    self._now_s() - began_s,
                    max(0, self._now_ms() - joining.snapshot_ms) / 1000,
                ),
                kafka_s=self._kafka_s,
            )
            if light is Light.RED and not joining.is_forced:
                raise StepRefused(f"the copy would not end in time: {text}")
            progress(
                Copied(
                    now.done_bytes,
                    now.total_bytes,
                    bytes_per_s=now.rate,
                    eta_s=now.eta_s,
                    pace=text,
                    pace_light=light.value,
                )
            )

        return tell

    def centrals(self) -> tuple[str, ...]:
        """Return the URLs of the centrals that were told at the join; none before."""
        try:
            return Given.read(self._config.home).centrals
        except StepRefused:
            return ()

    async def release(self, joining: Joining) -> None:
        """Tell the primary that the snapshot is needed no more. Raises DownloadError."""
        async with self._downloading() as client:
            await release(client, joining.snapshot, options=Options(now_s=time.monotonic))

    def _downloading(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._primary.url,
            verify=https_client_context(TlsFiles.in_directory(self.tls_dir)),
            headers={"Authorization": f"Bearer {read_token(self._config.home / 'token')}"},
            timeout=PRIMARY_TIMEOUT_S,
            trust_env=False,
        )

    def _opened(self) -> PrimaryClient:
        if self._client is None:
            token = read_token(self._config.home / "token")
            files = TlsFiles.in_directory(self.tls_dir)
            self._client = PrimaryClient(self._primary, files, token)
        return self._client
