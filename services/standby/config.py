"""Settings of the standby's agent."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StandbyConfig(BaseSettings):
    """Settings of the agent on one machine. How far a join is stands in `home/join.json`."""

    model_config = SettingsConfigDict(env_prefix="STEADFLOW_STANDBY_", extra="forbid", frozen=True)

    name: str = Field(
        "central-c",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of the central here, unique in the cluster.",
    )
    home: Path = Field(
        Path("standby"), description="Folder of the join, the certificates and the central's data."
    )
    primary: str = Field(
        "",
        max_length=300,
        description="Where the primary answers, `https://host:port`; needed to join.",
    )
    invite_file: Path | None = Field(
        None, description="File (mode 600) with the token of the invite; needed to join."
    )
    hosts: str = Field(
        "",
        max_length=1_000,
        description="Names and addresses of this machine for its certificate, with commas between; "
        "the first is the one by which others reach it.",
    )
    https_port: int = Field(
        8443, ge=1, le=65_535, description="Port on which the central here will answer to others."
    )
    kafka_port: int = Field(
        0,
        ge=0,
        le=65_533,
        description="First port of the broker here, with the controller's above it, which the "
        "checks try from the primary; 0: they do not.",
    )
    central_url: str = Field(
        "http://127.0.0.1:8480", max_length=200, description="Where the central here answers."
    )
    http_host: str = Field("127.0.0.1", description="Address of the agent's API.")
    http_port: int = Field(
        8491, ge=0, le=65_535, description="TCP port of the agent's API; 0 takes any free one."
    )
    is_forced: bool = Field(
        False, description="Join in spite of red lines; the primary records it on topic `audit`."
    )
    copy_bytes_per_s: int = Field(
        0, ge=0, description="Most that the copy of the snapshot takes of the link; 0: no limit."
    )
    replaces: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="Machine that is gone for ever, whose place this one takes when it joins.",
    )
    check_every_s: int = Field(
        86_400, ge=60, le=7 * 86_400, description="How often a standby repeats the checks, s."
    )

    copies_only: bool = Field(
        False, description="Whether the central here is not to be chosen as the primary."
    )
    rejoins: bool = Field(
        True,
        description="Whether a standby that was away longer than Kafka keeps messages copies the "
        "primary anew by itself. Its store is kept until the new copy is whole.",
    )

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """The names in `hosts`."""
        return tuple(filter(None, (each.strip() for each in self.hosts.split(","))))

    @property
    def host(self) -> str:
        """The name or address under which others will know this machine; empty without one."""
        return next(iter(self.all_hosts), "")

    @property
    def broker_ports(self) -> list[int]:
        """The ports of the broker here that others must reach, where one runs."""
        return [self.kafka_port, self.kafka_port + 1] if self.kafka_port else []

    @property
    def data_dir(self) -> Path:
        """Where the central here keeps its data."""
        return self.home / self.name
