"""The tables of the settings, written only from events on `settings` as they are read back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from services.central.metadata.database import to_write
from services.central.metadata.models import (
    AccountRow,
    ApiTokenRow,
    ExporterNameRow,
    InterfaceNameRow,
    InviteRow,
    LeavingRow,
    RetentionRow,
    SettingsPositionRow,
)
from shared.addresses import format_address, pack_address
from shared.settings_events import (
    RETENTION_KEY,
    Account,
    ApiToken,
    ExporterNamed,
    InterfaceNamed,
    Invite,
    MachineLeaves,
    RetentionSet,
    SettingRemoved,
    SettingsEvent,
)

_Event = TypeVar("_Event", Invite, Account, ApiToken, MachineLeaves)


@dataclass(frozen=True, slots=True)
class SettingsPosition:
    """Next offset of `settings`. read_at_ms: when the log was last read to there, UTC."""

    topic_id: str
    next_offset: int
    read_at_ms: int


_TABLES = (
    RetentionRow,
    ExporterNameRow,
    InterfaceNameRow,
    InviteRow,
    AccountRow,
    ApiTokenRow,
    LeavingRow,
)


class SettingsTables:
    """The settings as they are now.

    Blocking, but for `retention`, `accounts`, `tokens` and `leaving`.
    """

    def __init__(self, engine: Engine, topic: str) -> None:
        """Keep the settings that come from `topic`."""
        self._engine = engine
        self._topic = topic
        with Session(engine) as session:
            self._retention = _retention_in(session)
            self._accounts, self._tokens = _accounts_in(session), _tokens_in(session)
            self._leaving = _leaving_in(session)

    def position(self) -> SettingsPosition | None:
        """Return where reading goes on; None before the first time."""
        with Session(self._engine) as session:
            row = session.get(SettingsPositionRow, self._topic)
            if row is None:
                return None
            return SettingsPosition(row.topic_id, row.next_offset, row.read_at_ms)

    def apply(
        self,
        events: Iterable[SettingsEvent],
        position: SettingsPosition,
        *,
        from_nothing: bool = False,
    ) -> None:
        """Write `events` and the offset after them in one transaction.

        from_nothing: the events are all there are; what stood before is gone.
        """
        with Session(to_write(self._engine)) as session, session.begin():
            if from_nothing:
                for table in _TABLES:
                    session.execute(delete(table))
            for event in events:
                _write(session, event)
            session.merge(
                SettingsPositionRow(
                    topic=self._topic,
                    topic_id=position.topic_id,
                    next_offset=position.next_offset,
                    read_at_ms=position.read_at_ms,
                )
            )
            session.flush()
            retention = _retention_in(session)
            accounts, tokens = _accounts_in(session), _tokens_in(session)
            leaving = _leaving_in(session)
        self._retention, self._accounts, self._tokens = retention, accounts, tokens
        self._leaving = leaving

    def retention(self) -> RetentionSet | None:
        """Return the retention setting; None: the configured defaults hold. Does not block."""
        return self._retention

    def accounts(self) -> Mapping[str, Account]:
        """Return all accounts by name. Does not block."""
        return self._accounts

    def tokens(self) -> Mapping[str, ApiToken]:
        """Return all API tokens by id. Does not block."""
        return self._tokens

    def leaving(self) -> Mapping[str, MachineLeaves]:
        """Return the machines whose broker goes, by name. Does not block."""
        return self._leaving

    def exporters(self) -> Sequence[ExporterNamed]:
        """Return all named exporters."""
        with Session(self._engine) as session:
            rows = session.scalars(select(ExporterNameRow).order_by(ExporterNameRow.exporter))
            return [ExporterNamed(pack_address(row.exporter), row.name) for row in rows]

    def interfaces(self) -> Sequence[InterfaceNamed]:
        """Return all named interfaces."""
        with Session(self._engine) as session:
            rows = session.scalars(
                select(InterfaceNameRow).order_by(
                    InterfaceNameRow.exporter, InterfaceNameRow.if_index
                )
            )
            return [
                InterfaceNamed(pack_address(row.exporter), row.if_index, row.name, row.speed_bps)
                for row in rows
            ]

    def invites(self) -> Sequence[Invite]:
        """Return all invites, the one that expires last first."""
        with Session(self._engine) as session:
            rows = session.scalars(select(InviteRow).order_by(InviteRow.expires_at_ms.desc()))
            return [_event_of(Invite, row) for row in rows]


def _retention_in(session: Session) -> RetentionSet | None:
    row = session.get(RetentionRow, 1)
    return None if row is None else RetentionSet(row.raw_days, row.minute_days, row.hour_days)


def _accounts_in(session: Session) -> Mapping[str, Account]:
    rows = session.scalars(select(AccountRow).order_by(AccountRow.account))
    return {row.account: _event_of(Account, row) for row in rows}


def _tokens_in(session: Session) -> Mapping[str, ApiToken]:
    rows = session.scalars(select(ApiTokenRow).order_by(ApiTokenRow.made_at_ms))
    return {row.token: _event_of(ApiToken, row) for row in rows}


def _leaving_in(session: Session) -> Mapping[str, MachineLeaves]:
    rows = session.scalars(select(LeavingRow).order_by(LeavingRow.machine))
    return {row.machine: _event_of(MachineLeaves, row) for row in rows}


def _event_of(kind: type[_Event], row: object) -> _Event:
    """Return the event that a row of the same columns was written from."""
    return kind(**{field: getattr(row, field) for field in kind.__dataclass_fields__})


def _write(session: Session, event: SettingsEvent) -> None:
    match event:
        case RetentionSet(raw_days, minute_days, hour_days):
            session.merge(
                RetentionRow(id=1, raw_days=raw_days, minute_days=minute_days, hour_days=hour_days)
            )
        case ExporterNamed(exporter, name):
            session.merge(ExporterNameRow(exporter=format_address(exporter), name=name))
        case InterfaceNamed(exporter, if_index, name, speed_bps):
            session.merge(
                InterfaceNameRow(
                    exporter=format_address(exporter),
                    if_index=if_index,
                    name=name,
                    speed_bps=speed_bps,
                )
            )
        case Invite():
            session.merge(InviteRow(**asdict(event)))
        case Account():
            session.merge(AccountRow(**asdict(event)))
        case ApiToken():
            session.merge(ApiTokenRow(**asdict(event)))
        case MachineLeaves():
            session.merge(LeavingRow(**asdict(event)))
        case SettingRemoved(key):
            _remove(session, key)


def _remove(session: Session, key: str) -> None:
    """Delete the setting of `key`; a kind of a newer release is no setting here."""
    kind, _, rest = key.partition("/")
    if key == RETENTION_KEY:
        session.execute(delete(RetentionRow))
    elif kind == "exporter":
        session.execute(delete(ExporterNameRow).where(ExporterNameRow.exporter == rest))
    elif kind == "invite":
        session.execute(delete(InviteRow).where(InviteRow.invite == rest))
    elif kind == "account":
        session.execute(delete(AccountRow).where(AccountRow.account == rest))
    elif kind == "token":
        session.execute(delete(ApiTokenRow).where(ApiTokenRow.token == rest))
    elif kind == "leaving":
        session.execute(delete(LeavingRow).where(LeavingRow.machine == rest))
    elif kind == "interface":
        exporter, _, if_index = rest.rpartition("/")
        # A key is whatever somebody wrote to the topic.
        if if_index.isascii() and if_index.isdigit() and len(if_index) <= 10:
            session.execute(
                delete(InterfaceNameRow).where(
                    InterfaceNameRow.exporter == exporter,
                    InterfaceNameRow.if_index == int(if_index),
                )
            )
