"""How this machine shows itself to others: what `steadflow standby enable` wrote, kept in a file.

The launcher opens Kafka by it and each central its HTTPS, at once and at every start.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


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
    bind: str = "0.0.0.0"


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
    new = path.with_name(f"{path.name}.new")
    try:
        new.write_text(json.dumps(asdict(network), indent=2) + "\n")
        new.replace(path)
    except OSError as error:
        raise NetworkError(f"{path} cannot be written: {error.strerror}") from error
