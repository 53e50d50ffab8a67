"""The three files with which a node shows who it is and knows whom to believe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.tls.errors import TlsError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ca: who is believed; certificate: the node's, then its chain.

    key: without a password, readable by its owner only.
    """

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def in_directory(cls, directory: Path) -> Self:
        """Name `ca.pem`, `node.pem` and `node.key` in `directory`; nothing is read."""
        return cls(directory / "ca.pem", directory / "node.pem", directory / "node.key")

    def check(self) -> None:
        """Raise TlsError for a file that is missing, or a key that others may read."""
        for path in (self.ca, self.certificate, self.key):
            read_pem(path)
        check_owner_only(self.key)


def read_pem(path: Path) -> bytes:
    """Return the bytes of `path`. Raises TlsError."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TlsError(f"{path} is missing") from error
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}") from error


def check_owner_only(key: Path) -> None:
    """Raise TlsError when others than its owner may read `key`, or nobody knows."""
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise TlsError(f"{key} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise TlsError(f"{key} must be readable by its owner only (chmod 600)")
