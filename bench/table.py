"""A result as text for a terminal."""

from bench.figures import Json


def show(result: Json) -> str:
    """Return the tables of a result."""
    lines = ["", "collectors: flows per CPU-second (lowest, highest), bytes written, loss"]
    for load, tools in result["collectors"].items():
        for tool, figures in tools.items():
            median, low, high = figures["flows_per_cpu_s"]
            lines.append(
                f"  {load:9} {tool:10} {median:10,.0f} ({low:,.0f}, {high:,.0f})"
                f"  {figures['bytes_per_flow']:6.1f} B/flow  {figures['lost_percent']:5.2f}% lost"
            )
            if len(figures["ns_per_flow"]) > 1:
                stages = figures["ns_per_flow"].items()
                told = ", ".join(f"{stage} {ns:,}" for stage, ns in stages)
                lines.append(f"  {'':20} ns per flow: {told}")
        for name, times in result["ratios"][load].items():
            lines.append(f"  {load:9} {name.replace('_', ' ')}: {times:.2f} times")
    for tool, figures in result.get("captures", {}).items():
        lines.append(
            f"  captures  {tool:10} {figures['flows']:,} flows, {figures['bytes_per_flow']} B/flow"
        )
    central = result["central"]
    median, low, high = central["flows_per_cpu_s"]
    lines += [
        "",
        f"Kafka to store: {median:,.0f} flows per CPU-second ({low:,.0f}, {high:,.0f})",
        f"  insert {central['insert_ns_per_flow']:,} ns, closing {central['closing_ns_per_flow']:,}"
        f" ns a flow; on disk {central['flow_bytes_per_flow']} B/flow,"
        f" roll-ups {central['rollup_bytes_per_flow']} B/flow",
        "",
        "reports, ms from question to answer: p50, p95",
    ]
    for name, times in result["reports"].items():
        lines.append(f"  {name:42} {times['p50_ms']:8.1f} {times['p95_ms']:8.1f}")
    return "\n".join(lines) + "\n"
