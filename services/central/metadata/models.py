"""The tables of the metadata database.

64-bit numbers without a sign do not fit a BIGINT: a stream is 16 hex digits, and the numbers of a
stream stay far below 2^63. Addresses are text as people write them. Times are ms, UTC.
"""

from sqlalchemy import BigInteger, Boolean, Integer, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables; constraints have the same names on every engine."""

    metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s"})


class PositionRow(Base):
    """Next offset of a partition of `flows`: a hint, written after the data."""

    __tablename__ = "positions"
    topic: Mapped[str] = mapped_column(String(249), primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    topic_id: Mapped[str] = mapped_column(String(36))
    next_offset: Mapped[int] = mapped_column(BigInteger)


class StreamRow(Base):
    """How far a stream is applied: a hint, written after the data."""

    __tablename__ = "streams"
    stream: Mapped[str] = mapped_column(String(16), primary_key=True)
    worker: Mapped[str] = mapped_column(String(255))
    partition: Mapped[int] = mapped_column(Integer)
    started_at_ms: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    minutes_until_ms: Mapped[int] = mapped_column(BigInteger)
    hours_until_ms: Mapped[int] = mapped_column(BigInteger)
    ended: Mapped[bool] = mapped_column(Boolean)
    listed: Mapped[bool] = mapped_column(Boolean)
    newest_ms: Mapped[int] = mapped_column(BigInteger)
    appended_ms: Mapped[int] = mapped_column(BigInteger)


class SettingsPositionRow(Base):
    """Next offset of `settings`, written in the transaction of the settings themselves."""

    __tablename__ = "settings_position"
    topic: Mapped[str] = mapped_column(String(249), primary_key=True)
    topic_id: Mapped[str] = mapped_column(String(36))
    next_offset: Mapped[int] = mapped_column(BigInteger)
    read_at_ms: Mapped[int] = mapped_column(BigInteger)


class RetentionRow(Base):
    """The retention setting; one row, or none for the defaults."""

    __tablename__ = "setting_retention"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    raw_days: Mapped[int] = mapped_column(Integer)
    minute_days: Mapped[int] = mapped_column(Integer)
    hour_days: Mapped[int] = mapped_column(Integer)


class ExporterNameRow(Base):
    """The name of an exporter."""

    __tablename__ = "setting_exporters"
    exporter: Mapped[str] = mapped_column(String(45), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))


class InterfaceNameRow(Base):
    """Name and speed of an interface."""

    __tablename__ = "setting_interfaces"
    exporter: Mapped[str] = mapped_column(String(45), primary_key=True)
    if_index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(255))
    speed_bps: Mapped[int] = mapped_column(BigInteger)


class InviteRow(Base):
    """An invite to join, used or not."""

    __tablename__ = "setting_invites"
    invite: Mapped[str] = mapped_column(String(64), primary_key=True)
    joins_as: Mapped[str] = mapped_column(String(255))
    secret_hash: Mapped[str] = mapped_column(String(64))
    expires_at_ms: Mapped[int] = mapped_column(BigInteger)
    made_by: Mapped[str] = mapped_column(String(255))
    used_by: Mapped[str] = mapped_column(String(255))
    used_key: Mapped[str] = mapped_column(String(64))
    used_at_ms: Mapped[int] = mapped_column(BigInteger)


class AccountRow(Base):
    """Who may log in."""

    __tablename__ = "setting_accounts"
    account: Mapped[str] = mapped_column(String(64), primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    changed_at_ms: Mapped[int] = mapped_column(BigInteger)
    changed_by: Mapped[str] = mapped_column(String(255))


class ApiTokenRow(Base):
    """A token of the API."""

    __tablename__ = "setting_tokens"
    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    secret_hash: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str] = mapped_column(String(255))
    made_at_ms: Mapped[int] = mapped_column(BigInteger)
    made_by: Mapped[str] = mapped_column(String(255))


class LeavingRow(Base):
    """A machine whose broker goes."""

    __tablename__ = "setting_leaving"
    machine: Mapped[str] = mapped_column(String(255), primary_key=True)
    asked_at_ms: Mapped[int] = mapped_column(BigInteger)
    replaced_by: Mapped[str] = mapped_column(String(255))
    had_central: Mapped[bool] = mapped_column(Boolean)


class ExporterSeenRow(Base):
    """An exporter and export version that sent flows."""

    __tablename__ = "exporters_seen"
    exporter: Mapped[str] = mapped_column(String(45), primary_key=True)
    export_version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    first_seen_ms: Mapped[int] = mapped_column(BigInteger)
    last_seen_ms: Mapped[int] = mapped_column(BigInteger)


class InterfaceSeenRow(Base):
    """An interface that flows named."""

    __tablename__ = "interfaces_seen"
    exporter: Mapped[str] = mapped_column(String(45), primary_key=True)
    if_index: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    first_seen_ms: Mapped[int] = mapped_column(BigInteger)
    last_seen_ms: Mapped[int] = mapped_column(BigInteger)


class RepairRow(Base):
    """One repair of a minute or hour, noted before its first step; not finished: to go on."""

    __tablename__ = "repairs"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    stream: Mapped[str] = mapped_column(String(16))
    level: Mapped[int] = mapped_column(Integer)
    starts_ms: Mapped[int] = mapped_column(BigInteger)
    noted_ms: Mapped[int] = mapped_column(BigInteger)
    finished_ms: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(300))
