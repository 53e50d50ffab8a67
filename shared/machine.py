"""What a machine is: what is compared before it may stand by for another; pure."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. disk_free_bytes: where the store lies, or will. now_ms: its clock, UTC.

    utc_offset_s: of its time zone now, east of Greenwich.
    """

    release: str
    os_family: str
    architecture: str
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    utc_offset_s: int
    now_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> Self:  # Any: JSON
        """Read it back; raises ValueError when something is missing or of another kind."""
        if not isinstance(content, dict):
            raise ValueError("no facts of a machine")
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = content.get(field.name)
            if type(value) is not (str if field.type is str else int):
                raise ValueError(f"facts of a machine without {field.name}")
            values[field.name] = value
        return cls(**values)
