"""How this machine shows itself to others: what `steadflow standby enable` wrote, kept in a file.

The launcher opens Kafka by it and each central its HTTPS, at once and at every start. A page that
enables it leaves a wish beside it; the launcher answers with how it stands.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

KAFKA_PORT: Final = 19094
BIND: Final = "0.0.0.0"


class NetworkError(Exception):
    """The file cannot be read or written; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Network:
    """host: the name that others are told. bind: the address that is listened on.

    kafka_port: of the broker's TLS listener. https_ports: by central.
    """

    host: str
    kafka_port: int
    https_ports: Mapping[str, int] = field(default_factory=dict)
    bind: str = BIND


@dataclass(frozen=True, slots=True)
class Wish:
    """To be shown to others as `host`. https_port: of the first central; None for 443, else 8443.

    Fields are those of `Network`.
    """

    host: str
    https_port: int | None = None
    kafka_port: int = KAFKA_PORT
    bind: str = BIND


@dataclass(frozen=True, slots=True)
class Standing:
    """How the launcher stands. is_open: whether Kafka is as the file says; problem: why not."""

    is_open: bool = True
    problem: str = ""


def read_network(path: Path) -> Network | None:
    """Return what was enabled; None when nothing was. Raises NetworkError."""
    try:
        content = json.loads(path.read_text())
        return Network(
            host=str(content["host"]),
            kafka_port=int(content["kafka_port"]),
            https_ports={str(name): int(port) for name, port in content["https_ports"].items()},
            bind=str(content["bind"]),
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NetworkError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(
            f"{path} is not what `steadflow standby enable` wrote: run that again"
        ) from error


def write_network(path: Path, network: Network) -> None:
    """Replace the file, whole or not at all. Raises NetworkError."""
    _write(path, asdict(network))


def leave_wish(path: Path, wish: Wish) -> None:
    """Leave it beside the file at `path`, in place of one before. Raises NetworkError."""
    _write(_wish_file(path), asdict(wish))


def has_wish(path: Path) -> bool:
    """Whether one was left that nobody has taken yet."""
    return _wish_file(path).exists()


def take_wish(path: Path) -> Wish | None:
    """Return what was left beside the file at `path`, once. Raises NetworkError."""
    left = _wish_file(path)
    try:
        content = left.read_text()
        left.unlink()
        return Wish(**json.loads(content))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NetworkError(f"{left} cannot be taken: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise NetworkError(f"{left} was no wish of a central") from error


def write_standing(path: Path, standing: Standing) -> None:
    """Say beside the file at `path` how it stands. Raises NetworkError."""
    _write(_standing_file(path), asdict(standing))


def read_standing(path: Path) -> Standing:
    """Return what was said last; a file that nobody can read says nothing."""
    try:
        return Standing(**json.loads(_standing_file(path).read_text()))
    except (OSError, ValueError, TypeError):
        return Standing()


def _wish_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}-wish.json")


def _standing_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}-standing.json")


def _write(path: Path, content: Mapping[str, object]) -> None:
    """Replace a file, whole or not at all. Raises NetworkError."""
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_text(json.dumps(content, indent=2) + "\n")
        new.replace(path)
    except OSError as error:
        raise NetworkError(f"{path} cannot be written: {error.strerror}") from error
