"""Sums by exporter, interface and direction, in columns; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

SUMS: Final = ("bytes", "packets", "flows", "bytes_scaled", "packets_scaled")
"""What is summed up, in the order of the rows of `Entries.sums`."""

# A key: the exporter's number, 32 bits of interface, one of direction.
_EXPORTER_SHIFT: Final = np.uint64(33)
_INTERFACE_MASK: Final = np.uint64(0xFFFF_FFFF)
_ONE: Final = np.uint64(1)
_NO_INTERFACE: Final = np.uint64(0xFFFF_FFFE_0000_0001)


@dataclass(frozen=True, slots=True)
class Entries:
    """Sums by key; keys are unique and ascending. sums: one row for each of SUMS."""

    keys: Numbers
    sums: Numbers

    def __len__(self) -> int:
        """How many keys."""
        return len(self.keys)

    @property
    def exporters(self) -> npt.NDArray[np.int64]:
        """The exporter's number of each key."""
        return (self.keys >> _EXPORTER_SHIFT).astype(np.int64)

    @property
    def interfaces(self) -> npt.NDArray[np.int64]:
        """The ifIndex of each key."""
        return (self.keys >> _ONE & _INTERFACE_MASK).astype(np.int64)

    @property
    def directions(self) -> npt.NDArray[np.int64]:
        """The direction of each key: 0 in, 1 out."""
        return (self.keys & _ONE).astype(np.int64)

    def take(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Entries":
        """Return some of them, by place or by truth."""
        return Entries(self.keys[chosen], self.sums[:, chosen])

    def by_exporter(self) -> "Entries":
        """Return the sums of each exporter and direction; the interface of the keys is then 0."""
        keys: Numbers = np.bitwise_and(self.keys, _NO_INTERFACE)
        return merge([Entries(keys, self.sums)])


NOTHING: Final = Entries(np.empty(0, np.uint64), np.empty((len(SUMS), 0), np.uint64))


def entries_of(
    exporters: npt.NDArray[np.int64],
    interfaces: npt.NDArray[np.uint32],
    directions: npt.NDArray[np.uint8],
    sums: Numbers,
) -> Entries:
    """Return rows, of any order and number, as entries. exporters: numbers below 2**31."""
    # In place: numpy's types take a bitwise "or" of numbers for one of truths.
    keys: Numbers = exporters.astype(np.uint64) << _EXPORTER_SHIFT
    keys |= interfaces.astype(np.uint64) << _ONE
    keys |= directions.astype(np.uint64)
    return merge([Entries(keys, sums)])


def merge(parts: Sequence[Entries]) -> Entries:
    """Return the sums of all parts by key, modulo 2**64."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return NOTHING
    keys = np.concatenate([part.keys for part in filled])
    sums = np.concatenate([part.sums for part in filled], axis=1)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return Entries(keys[starts], np.add.reduceat(sums[:, order], starts, axis=1))


def spread(sums: Numbers, earliest_ms: int, latest_ms: int) -> list[tuple[int, Numbers]]:
    """Return `sums` by second: what was received in between is taken to have come evenly.

    A range lasts a fraction of a second, but for those of a backlog, which are cut by size.
    """
    first_s, last_s = earliest_ms // 1000, latest_ms // 1000
    rest = sums.copy()
    found = []
    for at in range(first_s, last_s):
        within_ms = (at + 1) * 1000 - max(earliest_ms, at * 1000)
        # By floats: what they lose of a sum above 2**53 the last second gets.
        share = (sums * (within_ms / (latest_ms - earliest_ms))).astype(np.uint64)
        part = np.minimum(share, rest)
        rest -= part
        found.append((at, part))
    return [*found, (last_s, rest)]
