"""Settings of the registry."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RegistryConfig(BaseSettings):
    """Settings of one registry. It keeps nothing on disk: what holds is in `ha.log`."""

    model_config = SettingsConfigDict(env_prefix="STEADFLOW_REGISTRY_", extra="forbid", frozen=True)

    name: str = Field(
        "registry-1",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of this registry, unique in the cluster.",
    )
    bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        min_length=1,
        description="Kafka brokers to connect to first, `host:port` with commas between.",
    )
    brokers_file: Path | None = Field(
        None,
        description="File that names brokers, `host:port` with commas between, which are asked too "
        "at the start: whoever starts this process notes in it where they are.",
    )
    kafka_tls_dir: Path | None = Field(
        None,
        description="Folder with `ca.pem`, `node.pem` and `node.key` (mode 600): the brokers are "
        "then reached by TLS, with this node's certificate. Without it nothing is encrypted.",
    )
    http_host: str = Field("127.0.0.1", description="Address of the API.")
    http_port: int = Field(
        8090, ge=0, le=65_535, description="TCP port of the API; 0 takes any free one."
    )
    token_file: Path | None = Field(
        None,
        description="File (mode 600) with the bearer token that every change needs. Without it "
        "nothing can be changed through the API.",
    )
    period_ms: int = Field(
        400,
        ge=50,
        le=60_000,
        description="Time between two ticks, in ms. This and the settings below are written into "
        "`ha.log` when that is empty; afterwards what the log says holds.",
    )
    dead_ticks: int = Field(
        7,
        ge=4,
        le=10,
        description="A primary that did not acknowledge so many ticks is dead.",
    )
    hold_down_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="A living primary is not replaced sooner after it took over, in seconds.",
    )
    maximum_lag_s: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="A central whose store is further behind is no candidate, in seconds.",
    )
