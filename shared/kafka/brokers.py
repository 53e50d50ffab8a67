"""Which brokers a client connects to, and how: in the clear on one machine, or by TLS."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.config import ConfigError
from shared.tls import TlsError, TlsFiles, client_context


@dataclass(frozen=True, slots=True)
class Brokers:
    """Brokers to connect to first. servers: `host:port` with commas between.

    tls: shown to the brokers, which are verified by it; without it nothing is encrypted.
    Raises TlsError when its files cannot be used; they are read this once.
    """

    servers: str
    tls: TlsFiles | None = None
    _context: ssl.SSLContext | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Read the certificates."""
        if self.tls is not None:
            object.__setattr__(self, "_context", client_context(self.tls))

    def __str__(self) -> str:
        """Return the servers."""
        return self.servers

    @property
    def arguments(self) -> dict[str, Any]:  # Any: keywords of aiokafka, which ships no types.
        """The keywords of every client of aiokafka."""
        if self._context is None:
            return {"bootstrap_servers": self.servers}
        return {
            "bootstrap_servers": self.servers,
            "security_protocol": "SSL",
            "ssl_context": self._context,
        }


def configured_brokers(servers: str, tls_dir: Path | None) -> Brokers:
    """Return the brokers of the settings `bootstrap_servers` and `kafka_tls_dir`.

    Raises ConfigError naming the setting.
    """
    try:
        return Brokers(servers, None if tls_dir is None else TlsFiles.in_directory(tls_dir))
    except TlsError as error:
        raise ConfigError(f"setting kafka_tls_dir: {error}") from error
