"""What passes now, from the live rates; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.central.live.windows import RATES_MAX, LiveSnapshot
from shared.addresses import plain_address

WINDOW_S = 60

Key = tuple[str, int | None, str]
"""(exporter, ifIndex or None for the whole exporter, `in` or `out`)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates over the last minute, in bit/s, packets/s or flows/s.

    has_all_exporters, has_all_interfaces: False where a limit left out those with the fewest bytes.
    """

    by_key: Mapping[Key, float]
    has_all_exporters: bool = True
    has_all_interfaces: bool = True

    def of(self, key: Key) -> float | None:
        """Return a rate; None where it may have been left out."""
        _, interface, _ = key
        has_all = self.has_all_exporters if interface is None else self.has_all_interfaces
        return self.by_key.get(key, 0.0 if has_all else None)


def rates_of(snapshot: LiveSnapshot, metric: str) -> Rates | None:
    """Return the rates of a metric, sampling scaled up; None while they are not known."""
    if snapshot.state != "live":
        return None
    found: dict[Key, float] = {}
    for each in snapshot.rates:
        if each.window_s != WINDOW_S:
            continue
        value = {
            "bytes": 8 * each.bytes_scaled_per_s,
            "packets": each.packets_scaled_per_s,
            "flows": each.flows_per_s,
        }[metric]
        found[each.exporter, each.interface, each.direction] = value
    if snapshot.rates and not found:
        # A window is left out when seconds of it had to go for want of room.
        return None
    exporters = sum(interface is None for _, interface, _ in found)
    return Rates(
        found,
        has_all_exporters=not snapshot.left_out or exporters < RATES_MAX,
        has_all_interfaces=not snapshot.left_out or len(found) - exporters < RATES_MAX,
    )


def whole_rate(rates: Rates | None, filters: Mapping[str, Sequence[str]]) -> float | None:
    """Return what passes now of everything that the filters pass; None where it is not known.

    Live rates know exporters and nothing finer that adds up.
    """
    if rates is None or set(filters) - {"exporter"}:
        return None
    if "exporter" not in filters:
        if not rates.has_all_exporters:
            return None
        wanted = {exporter for exporter, _, _ in rates.by_key}
    elif any("/" in each for each in filters["exporter"]):
        return None
    else:
        wanted = {plain_address(each) for each in filters["exporter"]}
    found = [rates.of((exporter, None, "in")) for exporter in wanted]
    known = [value for value in found if value is not None]
    return sum(known) if len(known) == len(found) else None
