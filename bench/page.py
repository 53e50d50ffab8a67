"""The tables of `docs/performance.md`, written from a result between two marks of the page. Pure.

A full run writes them itself, so that page and `results.json` are of one run.
"""

from collections.abc import Iterable

from bench.figures import Json

BEGIN = "<!-- Written by `make bench` from bench/results.json. -->"
END = "<!-- End of what `make bench` writes. -->"

_LOADS = {
    "v5-30": "NetFlow v5, 30 flows a datagram",
    "v9-24": "NetFlow v9, 24",
    "v9-2": "NetFlow v9, 2",
    "ipfix-18": "IPFIX, 18",
}
_CORE_SHARE = 0.5
"""What of a core the first table plans with: bursts need room."""


def with_tables(page: str, result: Json) -> str:
    """Return `page` with the tables of `result`. Raises ValueError without the marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no place for tables")
    return f"{before}{BEGIN}\n\n{tables(result)}\n{END}{after}"


def tables(result: Json) -> str:
    """Return all tables as Markdown."""
    machine = result["machine"]
    head = (
        f"Measured on {result['measured_on']} ({result['mode']} run): {machine['cores']} cores of "
        f"{machine['processor']}, {machine['memory_gb']} GB, Linux {machine['kernel']}, Python "
        f"{machine['python']}, goflow2 {machine['goflow2']}, nfdump {machine['nfdump']}."
    )
    parts = [
        head,
        "### What one core carries",
        _carries(result),
        "### Beside goflow2 and nfcapd",
        _beside(result),
        "### Where the time goes",
        _stages(result),
        "### Bytes of a flow",
        _bytes(result),
        "### Reports over a day, 20,000 interfaces",
        _reports(result),
    ]
    return "\n\n".join(parts) + "\n"


def _carries(result: Json) -> str:
    rows = [
        (
            f"collector: {_LOADS[load]}",
            _thousands(tools["steadflow"]["flows_per_cpu_s"][0]),
            _thousands(tools["steadflow"]["flows_per_cpu_s"][0] * _CORE_SHARE),
        )
        for load, tools in result["collectors"].items()
    ]
    central = result["central"]["flows_per_cpu_s"][0]
    rows.append(
        ("central: insert and close", _thousands(central), _thousands(central * _CORE_SHARE))
    )
    return _table(("work", "flows a CPU-second", "plan with, for each core"), rows)


def _beside(result: Json) -> str:
    rows = []
    for load, tools in result["collectors"].items():
        for name, figures in tools.items():
            median, low, high = figures["flows_per_cpu_s"]
            times = result["ratios"][load].get(f"over_{name}")
            rows.append(
                (
                    _LOADS[load],
                    name,
                    f"{_thousands(median)} ({_thousands(low)} to {_thousands(high)})",
                    "" if times is None else f"{times:g}",
                    f"{figures['bytes_per_flow']:g}",
                    f"{figures['lost_percent']:g} %",
                    f"{_thousands(figures['flows_per_s'])}",
                )
            )
    head = (
        "load", "tool", "flows a CPU-second: median (lowest to highest)", "steadflow is times",
        "bytes a flow", "lost", "sent a second",
    )  # fmt: skip
    return _table(head, rows)


def _stages(result: Json) -> str:
    rows = []
    for load, tools in result["collectors"].items():
        stages = tools["steadflow"]["ns_per_flow"]
        rows.append((_LOADS[load], *(f"{stages[name]:,}" for name in stages)))
    first = next(iter(result["collectors"].values()))
    central = result["central"]
    return (
        _table(("ns of CPU a flow", *first["steadflow"]["ns_per_flow"]), rows)
        + "\n\nIn the central, of wall time: insert "
        + f"{central['insert_ns_per_flow']:,} ns, closing minutes and hours "
        + f"{central['closing_ns_per_flow']:,} ns a flow."
    )


def _bytes(result: Json) -> str:
    central = result["central"]
    rows = [
        (f"real captures, {name}, {figures['flows']:,} flows", f"{figures['bytes_per_flow']:g}")
        for name, figures in result.get("captures", {}).items()
    ]
    rows += [
        ("generated, store of the central", f"{central['flow_bytes_per_flow']:g}"),
        ("generated, its roll-ups", f"{central['rollup_bytes_per_flow']:g}"),
    ]
    return _table(("what", "bytes a flow"), rows)


def _reports(result: Json) -> str:
    rows = [
        (name, f"{times['p50_ms']:,.0f}", f"{times['p95_ms']:,.0f}")
        for name, times in result["reports"].items()
    ]
    return _table(("report", "p50, ms", "p95, ms"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _thousands(value: float) -> str:
    """Return a figure with two digits: what such a machine measures has no third."""
    digits = max(0, len(str(int(value))) - 2)
    return f"{round(value, -digits):,.0f}"
