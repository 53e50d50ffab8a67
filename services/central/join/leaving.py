"""How a machine is forgotten: the central on it, its broker, the invites that it used."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from services.central.answers import Json
from shared.kafka import KafkaAway, MembershipRefused, SendRefused
from shared.settings_events import Invite, SettingRemoved, SettingsEvent, invite_key

_POLL_S: Final = 0.02
_POLLS: Final = 500


class Brokers(Protocol):
    """What is asked of the machines of Kafka."""

    async def look(self) -> None:
        """See anew who is there. Raises KafkaAway, MembershipRefused."""
        ...

    def has(self, machine: str) -> bool:
        """Whether another machine of that name has a broker."""
        ...

    def answers(self, machine: str) -> bool:
        """Whether it has one that lives."""
        ...

    async def leave(
        self, machine: str, *, replaced_by: str = "", had_central: bool = False
    ) -> bool:
        """Have its broker go; False where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is needed of a central.

    invites: all there are; blocking. change: writes a setting, and returns when it was read back.
    is_listed: whether the roles know a node. ask_registry: asks for a decision with that body.
    forget: drops what is kept of a node; raises KafkaAway, SendRefused. brokers: those of Kafka.
    """

    invites: Callable[[], Sequence[Invite]]
    change: Callable[[SettingsEvent], Awaitable[None]]
    is_listed: Callable[[str], bool]
    ask_registry: Callable[[Request, Json], Awaitable[Response]]
    forget: Callable[[str], Awaitable[None]]
    brokers: Brokers

    async def take_leave(
        self, request: Request, node: str, *, has_stopped: bool = False, replaced_by: str = ""
    ) -> None:
        """Forget `node`, also where that broke off before. request: in whose name.

        has_stopped: its own machine says so. replaced_by: the machine that takes its place; the
        broker goes only then. Raises HTTPException with the registry's answer where that is no.
        """
        used = [each for each in await asyncio.to_thread(self.invites) if each.used_by == node]
        if self.is_listed(node) or not (used or self.brokers.has(node)):
            body = {"node": node, "has_stopped": has_stopped}
            _raise_refused(await self.ask_registry(request, body))
            await self._until_unlisted(node)
        await self._forget(node)
        # Before the invites: without either of them another try would find nothing to do.
        await self.brokers.leave(node, replaced_by=replaced_by, had_central=True)
        for invite in used:
            await self.change(SettingRemoved(invite_key(invite.invite)))

    async def replace(self, request: Request, gone: str, newcomer: str) -> None:
        """Forget `gone`, whose place `newcomer` takes. Raises HTTPException where it may not."""
        try:
            await self.brokers.look()
        except (KafkaAway, MembershipRefused) as error:
            why = f"whether {gone} is gone cannot be seen now: {error}"
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, why) from error
        if gone == newcomer:
            why = f"{gone} cannot take its own place: give this machine another --name"
        elif self.brokers.answers(gone):
            why = f"the broker of {gone} answers: only a machine that is gone can be replaced"
        else:
            try:
                return await self.take_leave(request, gone, replaced_by=newcomer)
            except HTTPException as error:
                if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise
                why = str(error.detail)
        # One status, by which a machine that joins knows that another try is of no use.
        raise HTTPException(HTTPStatus.CONFLICT, why)

    async def _forget(self, node: str) -> None:
        try:
            await self.forget(node)
        except (KafkaAway, SendRefused) as error:
            why = f"that {node} left could not be noted, try again: {error}"
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, why) from error

    async def _until_unlisted(self, node: str) -> None:
        """Wait for what the registry read: a node that is heard afterwards came back."""
        for _ in range(_POLLS):
            if not self.is_listed(node):
                return
            await asyncio.sleep(_POLL_S)
        why = f"{node} is still listed here: try again"
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, why)


def _raise_refused(answer: Response) -> None:
    if answer.status_code != HTTPStatus.OK:
        try:
            why = str(json.loads(bytes(answer.body))["detail"])
        except (ValueError, KeyError, TypeError):
            why = f"the registry answers {answer.status_code}"
        raise HTTPException(answer.status_code, why)
