"""Settings of the collector."""

import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestConfig(BaseSettings):
    """Settings of one collector, the same for its holder, receivers and decoders."""

    model_config = SettingsConfigDict(env_prefix="STEADFLOW_INGEST_", extra="forbid", frozen=True)

    name: str = Field(
        "collector-1",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of this collector, unique in the site; a worker is called `name/index`.",
    )
    spool_dir: Path = Field(
        Path("spool"),
        description="Folder of the spool, one folder per worker inside. It must outlive restarts.",
    )
    spool_bytes_max: int = Field(
        4 << 30,
        ge=1 << 18,
        description="Bytes a worker's spool may take, at least 4 segments. Above it the decoder "
        "discards the oldest records; a quarter and one segment above it the receiver drops new "
        "datagrams. Both are counted losses.",
    )
    segment_bytes: int = Field(
        16 << 20,
        ge=1 << 16,
        le=1 << 30,
        description="Size in bytes at which the spool goes on in a new file.",
    )
    udp_host: str = Field(
        "127.0.0.1",
        description="Address on which datagrams are received; `::` takes IPv4 and IPv6.",
    )
    udp_port: int = Field(
        2055,
        ge=0,
        le=65_535,
        description="UDP port for NetFlow v5, v9 and IPFIX alike; 0 takes any free one.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Receiver and decoder pairs that share the port; an exporter always goes to "
        "the same one until this number changes.",
    )
    receive_buffer_bytes: int = Field(
        16 << 20,
        ge=1 << 16,
        le=1 << 30,
        description="Receive buffer asked of the kernel for each socket, in bytes. Without "
        "CAP_NET_ADMIN the kernel gives at most the sysctl net.core.rmem_max.",
    )
    http_host: str = Field("127.0.0.1", description="Address of health, metrics and status pages.")
    http_port: int = Field(
        8080, ge=0, le=65_535, description="TCP port of these pages; 0 takes any free one."
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
    token_file: Path | None = Field(
        None, description="File with the bearer token for whatever changes anything (mode 600)."
    )
    template_timeout_s: int = Field(
        86_400,
        ge=60,
        le=30 * 86_400,
        description="Seconds after which a template that was neither sent again nor used is "
        "forgotten. Long, because some exporters send their templates once only.",
    )
    waiting_bytes_max: int = Field(
        8 << 20,
        ge=0,
        le=1 << 30,
        description="Bytes of data sets that a worker keeps until their template comes.",
    )
    waiting_timeout_s: int = Field(
        1_800,
        ge=1,
        le=86_400,
        description="Seconds for which a data set waits for its template.",
    )

    @model_validator(mode="after")
    def _spool_holds_segments(self) -> Self:
        if self.spool_bytes_max < 4 * self.segment_bytes:
            raise ValueError("spool_bytes_max must be at least 4 times segment_bytes")
        return self

    @property
    def spool_bytes_hard(self) -> int:
        """Bytes at which a receiver drops new datagrams, because its decoder does not come.

        Far enough above `spool_bytes_max` that a decoder at work never lets it come to this.
        """
        return self.spool_bytes_max + self.spool_bytes_max // 4 + self.segment_bytes

    def worker_dir(self, worker: int) -> Path:
        """Return the spool folder of a worker."""
        return self.spool_dir / str(worker)

    def worker_key(self, worker: int) -> str:
        """Return `name/index`: the key on Kafka, and the name people see."""
        return f"{self.name}/{worker}"


def prepare_folder(folder: Path) -> None:
    """Make `folder` if it is missing. Raises OSError when this process cannot write there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} is not writable")
