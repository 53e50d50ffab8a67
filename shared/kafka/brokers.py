"""Which brokers a client connects to, and how: in the clear on one machine, or by TLS."""

import copy
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from shared.config import ConfigError
from shared.kafka.silence import Silences
from shared.tls import TlsError, TlsFiles, client_context

METADATA_AGE_MS = 10_000
"""Who knows only the broker that it began with is lost with it: a new one is seen so soon."""


@dataclass(frozen=True, slots=True)
class Brokers:
    """Brokers to connect to first. servers: `host:port` with commas between.

    tls: shown to the brokers, which are verified by it; without it nothing is encrypted.
    Raises TlsError when its files cannot be used; they are read this once.
    """

    servers: str
    tls: TlsFiles | None = None
    _context: ssl.SSLContext | None = field(init=False, repr=False, compare=False, default=None)
    silences: Silences = field(init=False, repr=False, compare=False, default_factory=Silences)

    def __post_init__(self) -> None:
        """Read the certificates."""
        if self.tls is not None:
            object.__setattr__(self, "_context", client_context(self.tls))

    def __str__(self) -> str:
        """Return the servers."""
        return self.servers

    def at(self, servers: str) -> Self:
        """Return the same cluster, begun with at other `servers`: another listener of it, maybe.

        Certificates that were read are shared, no file is read. What is known of brokers is not:
        each listener tells other addresses of the same ones.
        """
        other = copy.copy(self)
        object.__setattr__(other, "servers", servers)
        object.__setattr__(other, "silences", Silences())
        return other

    @property
    def arguments(self) -> dict[str, Any]:  # Any: keywords of aiokafka, which ships no types.
        """The keywords of every client of aiokafka."""
        always = {"bootstrap_servers": self.servers, "metadata_max_age_ms": METADATA_AGE_MS}
        if self._context is None:
            return always
        return always | {"security_protocol": "SSL", "ssl_context": self._context}


class KafkaSettings(Protocol):
    """What the settings of every service say of Kafka."""

    @property
    def bootstrap_servers(self) -> str:
        """As of `Brokers`."""

    @property
    def kafka_tls_dir(self) -> Path | None:
        """Folder of this node's certificate; None without TLS."""

    @property
    def brokers_file(self) -> Path | None:
        """Where brokers are noted that are asked too."""


def noted_brokers(home: Path) -> Path:
    """Return the file in a launcher's home that names the brokers as they were a moment ago."""
    return home / "brokers"


def with_noted(servers: str, file: Path | None) -> str:
    """Return `servers` and those that a file names, each once."""
    try:
        noted = "" if file is None else file.read_text().strip()
    except OSError:
        noted = ""
    return ",".join(dict.fromkeys(filter(None, f"{servers},{noted}".split(","))))


def configured_brokers(config: KafkaSettings) -> Brokers:
    """Return the brokers of a service. Raises ConfigError naming the setting that is wrong."""
    folder = config.kafka_tls_dir
    tls = None if folder is None else TlsFiles.in_directory(folder)
    try:
        return Brokers(with_noted(config.bootstrap_servers, config.brokers_file), tls)
    except TlsError as error:
        raise ConfigError(f"setting kafka_tls_dir: {error}") from error
