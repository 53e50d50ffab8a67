"""Where the fields of variable-length records lie (RFC 7011 section 7)."""

from array import array
from collections.abc import Sequence


def walk_variable(
    payload: bytes,
    start: int,
    end: int,
    *,
    segments: Sequence[int],
    base: int,
    offsets: "array[int]",
) -> tuple[int, int]:
    """Append each record's offsets to `offsets`; return (records, where the last whole one ends).

    segments: bytes of each run of fixed fields, one more than there are variable fields.
    base: added to every offset. What is appended per record is what `Records` reads.
    A record that does not fit is not appended.
    """
    records = 0
    at = start
    least = sum(segments) + len(segments) - 1
    inner = segments[:-1]
    while end - at >= least:
        place = at
        found = []
        for segment in inner:
            found.append(base + place)
            place += segment
            if place >= end:
                return records, at
            size = payload[place]
            place += 1
            if size == 255:
                # 255 means the real length follows in 2 bytes.
                if place + 2 > end:
                    return records, at
                size = payload[place] << 8 | payload[place + 1]
                place += 2
            found.append(base + place)
            found.append(size)
            place += size
        found.append(base + place)
        place += segments[-1]
        if place > end:
            return records, at
        offsets.extend(found)
        records += 1
        at = place
    return records, at
