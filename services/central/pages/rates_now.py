"""What passes now, from the live rates; pure."""

from collections.abc import Mapping, Sequence

from services.central.live.windows import LiveSnapshot

Rates = Mapping[tuple[str, int | None, str], float]
"""(exporter, ifIndex or None for the whole exporter, `in` or `out`) -> rate over the last minute,
in bit/s, packets/s or flows/s."""

WINDOW_S = 60


def rates_of(snapshot: LiveSnapshot, metric: str) -> Rates | None:
    """Return the rates of a metric, sampling scaled up; None while they do not follow the log."""
    if snapshot.state != "live":
        return None
    found: dict[tuple[str, int | None, str], float] = {}
    for each in snapshot.rates:
        if each.window_s != WINDOW_S:
            continue
        value = {
            "bytes": 8 * each.bytes_scaled_per_s,
            "packets": each.packets_scaled_per_s,
            "flows": each.flows_per_s,
        }[metric]
        found[each.exporter, each.interface, each.direction] = value
    return found


def whole_rate(rates: Rates | None, filters: Mapping[str, Sequence[str]]) -> float | None:
    """Return what passes now of everything that the filters pass; None where it is not known.

    Live rates know exporters and nothing finer that adds up.
    """
    if rates is None or set(filters) - {"exporter"}:
        return None
    exporters = filters.get("exporter")
    if exporters is not None and any("/" in each for each in exporters):
        return None
    return sum(
        value
        for (exporter, interface, direction), value in rates.items()
        if interface is None and direction == "in" and (not exporters or exporter in exporters)
    )
