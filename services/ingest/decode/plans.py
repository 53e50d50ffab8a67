"""How the records of one template become columns: which field is read how, from which bytes."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from services.ingest.decode.elements import (
    BY_NUMBER,
    PADDING,
    REVERSE_ENTERPRISE,
    Element,
    Reading,
    lengths,
)

VARIABLE = 65535
"""Field length that stands for "given in each record" (RFC 7011 section 7)."""
_COUNTERS = frozenset({"bytes", "packets"})


class Source(NamedTuple):
    """One field of a template that fills a column.

    segment: which run of fixed fields it lies in; name: its name in that run's dtype.
    variable: index among the variable-length fields, -1 for a fixed one.
    """

    element: Element
    length: int
    segment: int
    name: str
    variable: int


class Plan:
    """What is read from the records of one template.

    segments: the runs of fixed fields between variable ones, as dtypes; one when all are fixed.
    forward, reverse: column -> its fields, the winning one first. A record of a template with a
        reverse counter has a second direction (RFC 5103, NSEL).
    ignored: (enterprise, element) of each field that fills no column.
    has_reverse: its records may become two rows; is_flow: they say anything of a flow at all.
    """

    def __init__(
        self,
        segments: Sequence[np.dtype[Any]],
        forward: Mapping[str, tuple[Source, ...]],
        reverse: Mapping[str, tuple[Source, ...]],
        ignored: tuple[tuple[int, int], ...],
    ) -> None:
        """Take what `make_plan` found."""
        self.segments = tuple(segments)
        self.forward = forward
        self.reverse = reverse
        self.ignored = ignored
        # Plain attributes: they are asked for every set.
        self.has_reverse = not _COUNTERS.isdisjoint(reverse)
        self.is_flow = bool(forward.keys() - {"system_init"} or reverse)


def make_plan(fields: tuple[tuple[int, int, int], ...]) -> Plan:
    """Return the plan of a template's (enterprise, element, length) fields."""
    found: dict[tuple[bool, str], list[tuple[int, Source]]] = {}
    ignored: list[tuple[int, int]] = []
    layouts: list[_Layout] = [_Layout()]
    variables = 0
    for enterprise, number, length in fields:
        is_variable = length == VARIABLE
        used = False
        for rank, element in _readable(enterprise, number, length):
            reverse = element.reverse or enterprise == REVERSE_ENTERPRISE
            name = "" if is_variable else layouts[-1].field(element.reading, length)
            source = Source(
                element, length, len(layouts) - 1, name, variables if is_variable else -1
            )
            found.setdefault((reverse, element.column), []).append((rank, source))
            used = True
        if not used and length and (enterprise, number) != (0, PADDING):
            ignored.append((enterprise, number))
        if is_variable:
            variables += 1
            layouts.append(_Layout())
        else:
            layouts[-1].bytes += length
    forward: dict[str, tuple[Source, ...]] = {}
    backward: dict[str, tuple[Source, ...]] = {}
    for (reverse, column), ranked in found.items():
        ranked.sort(key=lambda pair: pair[0])
        sources = [source for _, source in ranked]
        # Two counters are two different counts; two addresses are one where the other is zero.
        if column in _COUNTERS:
            enterprise = REVERSE_ENTERPRISE if reverse else 0
            ignored += [(enterprise, source.element.number) for source in sources[1:]]
            sources = sources[:1]
        (backward if reverse else forward)[column] = tuple(sources)
    return Plan([layout.dtype() for layout in layouts], forward, backward, tuple(ignored))


def _readable(enterprise: int, number: int, length: int) -> list[tuple[int, Element]]:
    """Return the entries of the element table, with rank, that a field of this length can fill."""
    if enterprise not in (0, REVERSE_ENTERPRISE) or length == 0:
        return []
    entries = BY_NUMBER.get(number, ())
    if length == VARIABLE:
        return [(rank, e) for rank, e in entries if e.reading is Reading.UNSIGNED]
    return [(rank, e) for rank, e in entries if length in lengths(e)]


class _Layout:
    """A run of fixed fields while it is collected."""

    def __init__(self) -> None:
        self.bytes = 0
        self._fields: dict[int, tuple[str, Any]] = {}

    def field(self, reading: Reading, length: int) -> str:
        """Add the field at the present end of the run; return its name."""
        name = f"at{self.bytes}"
        self._fields[self.bytes] = (name, _format(reading, length))
        return name

    def dtype(self) -> np.dtype[Any]:
        return np.dtype(
            {
                "names": [name for name, _ in self._fields.values()],
                "formats": [form for _, form in self._fields.values()],
                "offsets": list(self._fields),
                "itemsize": self.bytes,
            }
        )


def _format(reading: Reading, length: int) -> Any:  # what numpy takes for a format
    if reading is Reading.IPV4:
        return "=u4"  # Copied as it lies, never read as a number.
    if reading is Reading.IPV6:
        return ("=u8", (2,))
    return f">u{length}" if length in (1, 2, 4, 8) else ("u1", (length,))
