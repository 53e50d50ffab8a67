"""A drill's report as one page of HTML that needs nothing else; pure."""

from datetime import UTC, datetime
from html import escape

from shared.drill import PROMISED_S, SUMS, Drill, Kind, Verdict, checks, is_slow, verdict

_STYLE = """
:root { --ground: #f4f5f7; --panel: #fff; --line: #dfe3e8; --ink: #16202b; --quiet: #5a6775;
  --good: #00795a; --warn: #a35a00; --bad: #b3261e; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ground: #0e1319; --panel: #161c24; --line: #2a333e;
  --ink: #e4e9ee; --quiet: #9aa7b4; --good: #3ccf9f; --warn: #f0b44c; --bad: #ff8a80; } }
body { margin: 0; padding: 24px 16px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 Roboto, system-ui, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 860px; margin: 0 auto; background: var(--panel); border: 1px solid var(--line);
  border-radius: 8px; padding: 20px 26px 26px; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 15px; margin: 26px 0 6px; }
p { margin: 4px 0; } .quiet { color: var(--quiet); }
dl { display: flex; flex-wrap: wrap; gap: 12px 40px; margin: 18px 0 0; }
dt { color: var(--quiet); font-size: 13px; } dd { margin: 0; font-size: 22px; }
.box { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 400; font-size: 13px; color: var(--quiet); }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.last { margin-top: 18px; } .word { font-weight: 600; white-space: nowrap; }
"""
_TONES = {
    Verdict.PASSED: "good",
    Verdict.FAILED: "bad",
    Verdict.RUNNING: "quiet",
    Verdict.BROKEN_OFF: "warn",
}
_KINDS = {
    Kind.SWITCHOVER: "a planned switchover",
    Kind.KILL: "the primary's process was killed",
}


def drill_page(drill: Drill, now_ms: int) -> str:
    """Return the page."""
    found = verdict(drill, now_ms)
    title = f"Failover drill of {instant(drill.started_ms)}"
    parts = [
        f'<h1>Failover drill: <span class="{_TONES[found]}">{found.value.upper()}</span></h1>',
        f'<p class="quiet">{_KINDS[drill.kind].capitalize()}, {instant(drill.started_ms)}'
        f"{_until(drill)}; run by {escape(drill.run_by)}.</p>",
        f'<p class="bad">{escape(drill.error)}</p>' if drill.error else "",
        _numbers(drill),
        _checks(drill),
        _counts(drill),
        f'<p class="quiet last">Report {drill.id}. Times are UTC.</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + "\n</main>\n</body>\n</html>\n"
    )


def instant(ms: int) -> str:
    """Return an instant, UTC, as people read it."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _until(drill: Drill) -> str:
    return f", {(drill.ended_ms - drill.started_ms) / 1000:.0f} s" if drill.ended_ms else ""


def _numbers(drill: Drill) -> str:
    unknown = "\N{EN DASH}"
    rto = unknown if drill.rto_s is None else f"{drill.rto_s:.2f} s"
    tone = ' class="warn"' if is_slow(drill) else ""
    lost = unknown if drill.lost is None else f"{drill.lost:,}"
    who = unknown
    if drill.before is not None and drill.after is not None:
        who = f"{escape(drill.before.primary)} \N{RIGHTWARDS ARROW} {escape(drill.after.primary)}"
    rows = (
        ("Nobody acted for (RTO)", f"<dd{tone}>{rto}</dd>"),
        ("Records lost (RPO)", f"<dd>{lost}</dd>"),
        ("Primary", f"<dd>{who}</dd>"),
    )
    facts = "".join(f"<div><dt>{name}</dt>{value}</div>" for name, value in rows)
    note = (
        f'<p class="warn">Longer than the {PROMISED_S:g} s promised for 99 of 100 takeovers.</p>'
        if is_slow(drill)
        else ""
    )
    return f"<dl>{facts}</dl>{note}"


def _checks(drill: Drill) -> str:
    rows = "".join(
        f"<tr><td>{escape(each.promise)}</td>"
        f'<td class="word {"good" if each.is_kept else "bad"}">'
        f"{'kept' if each.is_kept else 'BROKEN'}</td>"
        f"<td>{escape(each.found)}</td></tr>"
        for each in checks(drill)
    )
    if not rows:
        return ""
    return f'<h2>Promises</h2><div class="box"><table>{rows}</table></div>'


def _counts(drill: Drill) -> str:
    before, after = drill.before, drill.after
    if before is None or after is None:
        return ""
    heads = "".join(f'<th class="number">{name}</th>' for name in SUMS)
    rows = ""
    for name in sorted(before.totals.keys() | after.totals.keys()):
        for label, totals in (("before", before.totals), ("after", after.totals)):
            rows += _row(f"{name}, {label}", totals.get(name, {}))
    over = "".join(_row(name, sums) for name, sums in sorted(drill.counted.items()))
    return (
        "<h2>What each central holds, read one after the other</h2>"
        f'<div class="box"><table><tr><th></th>{heads}</tr>{rows}</table></div>'
        f"<h2>Counted from {instant(drill.from_ms)} to {instant(drill.to_ms)}</h2>"
        f'<div class="box"><table><tr><th></th>{heads}</tr>{over}</table></div>'
    )


def _row(name: str, sums: dict[str, int]) -> str:
    cells = "".join(
        f'<td class="number">{sums[each]:,}</td>' if each in sums else '<td class="number"></td>'
        for each in SUMS
    )
    return f"<tr><td>{escape(name)}</td>{cells}</tr>"
