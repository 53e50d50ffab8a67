"""The page at `/docs`: the API as `/openapi.json` describes it, drawn by no other host."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]  # Any: an OpenAPI document


def api_page(document: Json, *, head: str, central: str) -> str:
    """Return the page of an OpenAPI document. head: HTML of ours, its style sheets."""
    sections = "".join(
        f'<section class="sf-panel" aria-label="{escape(tag)}"><header class="sf-panel-head">'
        f"<h2>{escape(tag)}</h2></header>{body}</section>"
        for tag, body in _by_tag(document).items()
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>API · steadflow</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head>
<body class="nicegui-layout"><header class="sf-top"><div class="sf-bar">
<a class="sf-brand" href="/"><b>steadflow</b></a><span class="sf-grow"></span>
<span class="sf-central">{escape(central)}</span></div></header>
<main class="sf-main"><div class="sf-failover sf-describe">
<section class="sf-panel sf-text"><h1>The API</h1>
<p>For programs: <a href="/openapi.json">/openapi.json</a>. What changes something needs the
header <code>Authorization: Bearer TOKEN</code>, and beyond this machine reading does too; a token
is made on <a href="/administration">Administration</a> or by
<code>steadflow token add NAME</code>.</p></section>
{sections}</div></main></body></html>"""


def _by_tag(document: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = str(next(iter(operation.get("tags", ())), "other"))
            found[tag] = found.get(tag, "") + _operation(document, method.upper(), path, operation)
    return found


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    parts = "".join(_parts(document, operation))
    return (
        f"<details><summary><code>{escape(method)} {escape(path)}</code> "
        f"{escape(str(operation.get('summary', '')))}</summary>{parts}</details>"
    )


def _parts(document: Json, operation: Json) -> Iterator[str]:
    if text := operation.get("description"):
        yield f"<p>{escape(str(text))}</p>"
    if rows := [_parameter(each) for each in operation.get("parameters", ())]:
        yield f'<table class="sf-plain"><tbody>{"".join(rows)}</tbody></table>'
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield "<p>Sent:</p>" + _shown(_schema(document, content.get("schema", {})))
    for status, answer in operation.get("responses", {}).items():
        for content in answer.get("content", {}).values():
            if "example" in content:
                yield f"<p>Answered, {escape(status)}:</p>" + _shown(content["example"])


def _parameter(parameter: Json) -> str:
    schema = parameter.get("schema", {})
    cells = (
        f"<code>{escape(str(parameter['name']))}</code>",
        escape(f"{parameter['in']}{', needed' if parameter.get('required') else ''}"),
        escape(str(parameter.get("description") or schema.get("description") or "")),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _schema(document: Json, schema: Json) -> object:
    """Return an example of what a schema describes, or its fields."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found = document.get("components", {}).get("schemas", {}).get(name, schema)
    if "example" in found:
        return found["example"]
    return {name: field.get("type", "") for name, field in found.get("properties", {}).items()}


def _shown(example: object) -> str:
    text = example if isinstance(example, str) else json.dumps(example, indent=2)
    return f"<pre>{escape(text)}</pre>"
