"""What a run of faults measured, as a table; pure."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

SHARES = (0.5, 0.95, 0.99, 1.0)
_HEAD = (
    "fault", "count", "takeovers", "needless",
    *(f"{how} {name}" for how in ("by the log", "seen") for name in ("p50", "p95", "p99", "max")),
)  # fmt: skip


class Injected(NamedTuple):
    """One fault. epoch_before, epoch_after: once all was quiet; seen_s: until another one acted.

    reasons: how many takeovers it gives a reason for.
    """

    kind: str
    epoch_before: int
    epoch_after: int
    seen_s: float | None = None
    reasons: int = 0


def epochs_of(fault: Injected, epochs: Iterable[int]) -> list[int]:
    """Return those of all `epochs` that began with or after `fault`, before the next one."""
    return [epoch for epoch in epochs if fault.epoch_before < epoch <= fault.epoch_after]


def needless(fault: Injected, epochs: Iterable[int]) -> int:
    """Return how many takeovers the fault gave no reason for."""
    return max(0, len(epochs_of(fault, epochs)) - fault.reasons)


def without_reason(faults: Iterable[Injected], epochs: Collection[int]) -> Iterator[str]:
    """Return what is wrong: that somebody took over more often than a fault gives a reason for."""
    for fault in faults:
        if needless(fault, epochs):
            yield f"{fault.kind}: a needless takeover, epochs {epochs_of(fault, epochs)}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least such a share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(
    faults: Sequence[Injected], took_s: Mapping[int, float | None], kinds: Iterable[str]
) -> str:
    """Return a Markdown table, a row for each of `kinds`. took_s: seconds by the log, by epoch."""
    rows = [" | ".join(_HEAD), " | ".join(["---", *["---:"] * (len(_HEAD) - 1)])]
    for kind in kinds:
        of_kind = [fault for fault in faults if fault.kind == kind]
        if not of_kind:
            continue
        epochs = [epoch for fault in of_kind for epoch in epochs_of(fault, took_s)]
        by_log = [took for epoch in epochs if (took := took_s[epoch]) is not None]
        seen = [fault.seen_s for fault in of_kind if fault.seen_s is not None]
        counts = len(of_kind), len(epochs), sum(needless(fault, took_s) for fault in of_kind)
        rows.append(" | ".join([kind, *map(str, counts), *_quantiles(by_log), *_quantiles(seen)]))
    return "".join(f"| {row} |\n" for row in rows)


def _quantiles(values: Sequence[float]) -> list[str]:
    if not values:
        return ["" for _ in SHARES]
    return [f"{quantile(values, share):.2f}" for share in SHARES]
