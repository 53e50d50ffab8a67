"""What the primary told this machine when it joined."""

import json
from dataclasses import dataclass
from pathlib import Path


class NotGiven(Exception):
    """The file is not there, or holds something else; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the primary told a node that joined. brokers: reached by TLS, `host:port` by commas.

    has_broker: whether this machine has one too.
    """

    brokers: str
    centrals: tuple[str, ...]
    has_broker: bool = False

    @classmethod
    def read(cls, home: Path) -> "Given":
        """Read what `register` kept. Raises NotGiven."""
        try:
            content = json.loads((home / "given.json").read_text())
            centrals = tuple(map(str, content["centrals"]))
            return cls(str(content["brokers"]), centrals, content.get("kafka") is not None)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotGiven(f"{home / 'given.json'} cannot be read: join anew") from error
