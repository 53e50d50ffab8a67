"""Data sets that came before their template: bounded, and given up oldest first."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

# What one waiting set costs in memory beside its bytes.
OVERHEAD_BYTES = 200


class TemplateKey(NamedTuple):
    """What a template belongs to (RFC 3954 section 9; RFC 7011 section 8).

    Never the source port: exporters send templates and data from different ones.
    """

    exporter: bytes
    version: int
    domain: int
    template_id: int


class WaitingSet(NamedTuple):
    """A data set without a template.

    at_ms: `received_at` of its datagram; export_ms, uptime_ms: of its header, as in `Origin`.
    datagram: number of its datagram. counted: another set of that datagram was given up before.
    """

    key: TemplateKey
    at_ms: int
    export_ms: int
    uptime_ms: int
    body: bytes
    datagram: int = 0
    counted: bool = False

    def is_beside(self, other: "WaitingSet") -> bool:
        """Return whether both came in one datagram."""
        return (self.key.exporter, self.at_ms, self.datagram) == (
            other.key.exporter,
            other.at_ms,
            other.datagram,
        )

    @property
    def held_bytes(self) -> int:
        """What it counts against the bounds."""
        return len(self.body) + OVERHEAD_BYTES


class WaitingSets:
    """Waiting sets by sequence number, which is their age."""

    def __init__(self) -> None:
        """Start empty."""
        self._sets: OrderedDict[int, WaitingSet] = OrderedDict()
        self._by_key: dict[TemplateKey, OrderedDict[int, None]] = {}
        self._by_exporter: dict[bytes, OrderedDict[int, None]] = {}
        self._bytes_of: dict[bytes, int] = {}
        self.held_bytes = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._sets)

    def items(self) -> Iterator[tuple[int, WaitingSet]]:
        """Yield (sequence number, set), oldest first."""
        return iter(self._sets.items())

    def get(self, number: int) -> WaitingSet | None:
        """Return the set of a sequence number."""
        return self._sets.get(number)

    def oldest(self) -> int | None:
        """Return the sequence number of the oldest."""
        return next(iter(self._sets), None)

    def oldest_of(self, exporter: bytes) -> int | None:
        """Return the sequence number of an exporter's oldest."""
        return next(iter(self._by_exporter.get(exporter, ())), None)

    def of(self, key: TemplateKey) -> list[int]:
        """Return the sequence numbers that wait for a template, oldest first."""
        return list(self._by_key.get(key, ()))

    def bytes_of(self, exporter: bytes) -> int:
        """Return what an exporter's sets hold."""
        return self._bytes_of.get(exporter, 0)

    def put(self, number: int, waiting: WaitingSet) -> None:
        """Add a set, or replace it in its place by one of the same template and length.

        A new number below the newest one needs `restore_order` afterwards.
        """
        if number in self._sets:
            self._sets[number] = waiting
            return
        self._sets[number] = waiting
        self._by_key.setdefault(waiting.key, OrderedDict())[number] = None
        exporter = waiting.key.exporter
        self._by_exporter.setdefault(exporter, OrderedDict())[number] = None
        self._bytes_of[exporter] = self._bytes_of.get(exporter, 0) + waiting.held_bytes
        self.held_bytes += waiting.held_bytes

    def remove(self, number: int) -> WaitingSet:
        """Take a set out."""
        waiting = self._sets.pop(number)
        exporter = waiting.key.exporter
        of_key, of_exporter = self._by_key[waiting.key], self._by_exporter[exporter]
        del of_key[number], of_exporter[number]
        self._bytes_of[exporter] -= waiting.held_bytes
        self.held_bytes -= waiting.held_bytes
        if not of_key:
            del self._by_key[waiting.key]
        if not of_exporter:
            del self._by_exporter[exporter], self._bytes_of[exporter]
        return waiting

    def restore_order(self) -> None:
        """Bring all into the order of age again."""
        for number in sorted(self._sets):
            self._sets.move_to_end(number)
        for numbers in (*self._by_key.values(), *self._by_exporter.values()):
            for number in sorted(numbers):
                numbers.move_to_end(number)
