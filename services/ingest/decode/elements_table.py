"""The element table as a page shows it: `python -m services.ingest.decode.elements_table PAGE`.

It stands between two marks in the page, and a test checks that it is what the code says.
"""

import sys
from pathlib import Path

from services.ingest.decode.elements import ELEMENTS, Element, lengths
from shared.flow_record import BY_NAME, Column

BEGIN = "<!-- elements: written by services/ingest/decode/elements_table.py -->"
END = "<!-- /elements -->"


def elements_table() -> str:
    """Return the table in Markdown, a line per element, in the order in which they win."""
    lines = [
        "| column | element | name | defined in | read as | bytes | absent |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_line(element) for element in ELEMENTS]
    return "\n".join(lines)


def with_table(page: str) -> str:
    """Return `page` with the table between its marks; ValueError without the marks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError("the page has no marks for the table of elements")
    return f"{before}{BEGIN}\n{elements_table()}\n{END}{after}"


def _line(element: Element) -> str:
    sizes = lengths(element)
    size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    column = BY_NAME.get(element.column)
    name = f"`{element.column}`" + (" of the second direction" if element.reverse else "")
    if element.column == "icmp_type" and " * " in element.reading:
        name += ", `icmp_code`"
    return (
        f"| {name if column else 'what UPTIME counts from'} | {element.number} | {element.name} |"
        f" {element.source} | {element.reading} | {size} | {_absent(column)} |"
    )


def _absent(column: Column | None) -> str:
    if column is None:
        return "header's sysUptime; IPFIX: times unknown"
    if isinstance(column.absent, bytes):
        return "`::`"
    return "unknown" if column.name in ("started_at", "ended_at") else str(column.absent)


def main() -> None:
    """Rewrite the table in the page named on the command line."""
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text()))


if __name__ == "__main__":
    main()
