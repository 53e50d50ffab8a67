"""A page for an address that leads nowhere: plain HTML, without a connection to the central."""

from html import escape
from http import HTTPStatus

from fastapi.responses import HTMLResponse

SHOWN_MAX = 80


def not_found(sentence: str, *, head: str, central: str) -> HTMLResponse:
    """Return the page. sentence: plain text; head: HTML of ours, its style sheet."""
    return _page(HTTPStatus.NOT_FOUND, "Nothing here", sentence, head=head, central=central)


def broken(*, head: str, central: str) -> HTMLResponse:
    """Return the page for a mistake of ours: what it was stands in the log alone."""
    sentence = "This page could not be made. The log of this central says why."
    return _page(
        HTTPStatus.INTERNAL_SERVER_ERROR, "Out of order", sentence, head=head, central=central
    )


def shown(text: str) -> str:
    """Return what somebody typed, short and printable, for a sentence."""
    printable = "".join(each if each.isprintable() else "?" for each in text[: SHOWN_MAX + 1])
    return printable if len(printable) <= SHOWN_MAX else printable[:SHOWN_MAX] + "…"


def _page(
    status: HTTPStatus, title: str, sentence: str, *, head: str, central: str
) -> HTMLResponse:
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} · steadflow</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head>
<body class="nicegui-layout"><header class="sf-top"><div class="sf-bar">
<a class="sf-brand" href="/"><b>steadflow</b></a></div></header>
<main class="sf-main"><section class="sf-nothing">
<h1>{title}</h1><p class="sf-nothing-lead">{escape(sentence)}</p>
<p class="sf-nothing-actions"><a class="sf-button sf-strong" href="/">Overview</a></p>
<p class="sf-hint">{status.value} · {escape(central)}</p>
</section></main></body></html>""",
        status.value,
    )
