"""The steps of a join as they are done: each returns the event that tells how it went."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from services.standby.central_here import CentralHere, Differs, IsTooOld
from services.standby.centrals import Centrals
from services.standby.checking import check
from services.standby.config import StandbyConfig
from services.standby.copying import Copies
from services.standby.given import NotGiven
from services.standby.joining import (
    CaughtUp,
    Checked,
    Event,
    Joining,
    Proven,
    Registered,
    Restored,
    TooOld,
    Work,
)
from services.standby.kafka_here import KafkaHere
from services.standby.primary import DownloadError, Options
from services.standby.primary_client import PrimaryAway
from services.standby.step_errors import StepFailed, StepRefused
from shared.invite_token import parse_token
from shared.register import (
    Address,
    RegisterError,
    forget_key,
    keep,
    key_and_request,
    register,
)
from shared.tls import TlsError, TlsFiles, client_context
from shared.tls.writing import OWNER_ONLY, write_whole
from shared.token import TokenError, read_token


class Steps:
    """Does what is owed, for one machine. All of it may be done again."""

    def __init__(
        self,
        config: StandbyConfig,
        primary: Address,
        now_ms: Callable[[], int],
        *,
        options: Options | None = None,
    ) -> None:
        """Build without connecting. now_ms: the wall clock, UTC. options: how to download."""
        self._config = config
        self._primary = primary
        self._now_ms = now_ms
        self._kafka = KafkaHere(config)
        self.centrals = Centrals(config, primary)
        self.central = CentralHere(
            config.central_url,
            name=config.name,
            data_dir=config.data_dir,
            token=lambda: read_token(config.home / "token"),
        )
        options = options or Options(now_s=time.monotonic)
        self.copies = Copies(config, self.centrals, self._kafka, self.central, now_ms, options)

    @property
    def tls_dir(self) -> Path:
        """Where this node's certificate is."""
        return self._config.home / "tls"

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
                    return await self.copies.ask(joining)
                case Work.COPY:
                    return await self.copies.copy(joining, progress)
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
        except (TlsError, TokenError, NotGiven) as error:
            raise StepRefused(str(error)) from error

    def _register(self) -> Event:
        config = self._config
        if self._is_admitted():
            # Killed before that was noted: the token would be of no use any more.
            if config.invite_file is not None:
                config.invite_file.unlink(missing_ok=True)
            forget_key(self.tls_dir)
            return Registered()
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
            forget_key(self.tls_dir)
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

    def _is_admitted(self) -> bool:
        home = self._config.home
        if not all((home / name).exists() for name in ("given.json", "token")):
            return False
        try:
            client_context(TlsFiles.in_directory(self.tls_dir))
        except TlsError:
            return False
        return True

    async def check(self) -> Checked:
        """Measure and judge. Raises PrimaryAway, TlsError, NotGiven."""
        return await check(self._config, self.centrals, self._kafka, self._now_ms)

    async def release(self, joining: Joining) -> None:
        """Tell who has the snapshot that it is needed no more. Raises DownloadError."""
        await self.copies.release(joining)
