"""Writes the pages that repeat what the code says: `python docs/generate.py [--check]`.

Everything here is read from the code itself: settings, metrics, commands, topics, columns. With
`--check` nothing is written, and the exit code says whether a page is out of date.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
from prometheus_client import CollectorRegistry
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from cli.__main__ import app  # noqa: E402
from services.central.config import CentralConfig  # noqa: E402
from services.central.metrics import CENTRAL_GAUGES, CentralMetrics  # noqa: E402
from services.central.metrics import PREFIX as CENTRAL_PREFIX  # noqa: E402
from services.ingest.config import IngestConfig  # noqa: E402
from services.ingest.decode.elements import ELEMENTS, REVERSE_ENTERPRISE, Element  # noqa: E402
from services.ingest.decode.elements_table import with_table  # noqa: E402
from services.ingest.decode.rates import RATES_SCHEMA  # noqa: E402
from services.ingest.metrics import (  # noqa: E402
    HOLDER_COUNTERS,
    HOLDER_GAUGES,
    PREFIX,
    RECEIVER_COUNTERS,
    ROLES_COUNTERS,
    ROLES_GAUGES,
)
from services.ingest.publish.tally import COUNTERS, GAUGES  # noqa: E402
from services.registry.config import RegistryConfig  # noqa: E402
from services.registry.metrics import PREFIX as REGISTRY_PREFIX  # noqa: E402
from services.registry.metrics import (  # noqa: E402
    REGISTRY_COUNTERS,
    REGISTRY_GAUGES,
    RegistryMetrics,
)
from services.standby.config import StandbyConfig  # noqa: E402
from services.standby.metrics import PREFIX as STANDBY_PREFIX  # noqa: E402
from services.standby.metrics import StandbyMetrics  # noqa: E402
from shared.collectors import CollectorRecord  # noqa: E402
from shared.digest_records import EXPORTERS_MAX  # noqa: E402
from shared.disk_metrics import DISK_GAUGES  # noqa: E402
from shared.flow_record import COLUMNS  # noqa: E402
from shared.health_metrics import HEALTH_GAUGES  # noqa: E402
from shared.http_metrics import http_histogram  # noqa: E402
from shared.losses import LossReason  # noqa: E402
from shared.roles.standings import TRANSITIONS  # noqa: E402
from shared.topics import TOPICS  # noqa: E402

NOTICE = "<!-- Written by docs/generate.py from the code: change it there, then `make docs`. -->"

RATES_COLUMNS = {
    "exporter": "16 address bytes",
    "interface": "ifIndex",
    "direction": "0 into the interface, 1 out of it",
    "bytes": "as exported",
    "packets": "as exported",
    "flows": "flow records, never scaled",
    "bytes_scaled": "each flow's, times its sampling rate where one is known",
    "packets_scaled": "each flow's, times its sampling rate where one is known",
}


DIGEST_FIELDS = {
    "raw": "[flows, bytes, packets, hash sum] of the raw rows that were summed up",
    "digest_version": "column list of that hash sum; 0 for an hour whose minutes have several",
    "rollups": "[rows, hash sum] of the roll-up rows",
    "rollup_version": "column list of that hash sum",
    "repair": "number of the repair that closed it; 0 for none",
    "exporters": f"of a minute, [exporter, flows, hash sum], the first {EXPORTERS_MAX} by address",
    "exporters_more": "how many are not listed",
    "checked": "whether the raw rows were compared with `flows` and are the same",
    "found": "what a scrub found instead: `raw` and `rollups` as above or null, `exporters`,"
    " `exporters_more`",
}
COLLECTOR_FIELDS = {
    "worker": "`collector/index`, the record's key too",
    "collector": "its name",
    "version": "its release",
    "at_ms": "when this was so, UTC by its own clock",
    "started_at_ms": "when it began",
    "flows_per_s": "flow records published since the record before",
    "datagrams_per_s": "datagrams received since the record before",
    "spool_bytes": "what its spool takes on disk",
    "unread_datagrams": "what of the spool Kafka has not acknowledged, about",
    "lag_s": "age of the newest acknowledged datagram, 0 when all are",
    "stream": "the one its receiver writes",
    "acknowledged": "newest number of that stream that Kafka has",
    "received": "newest number of that stream",
    "primary": "which central it knows as the primary; empty: none",
    "epoch": "of that primary; -1: none",
    "udp": "where it listens",
    "ready": "whether receiver and decoder are",
    "reasons": "why not, by process",
}


def pages() -> dict[str, str]:
    """Return every generated page by its path below the repository."""
    return {
        "docs/configuration.md": configuration(),
        "docs/metrics.md": metrics(),
        "docs/commands.md": commands(),
        "docs/topics-and-messages.md": topics_and_messages(),
        "docs/flow-record.md": flow_record(),
        "docs/protocols.md": with_table((ROOT / "docs" / "protocols.md").read_text()),
        "docs/high-availability.md": with_standings(
            (ROOT / "docs" / "high-availability.md").read_text()
        ),
    }


def with_standings(text: str) -> str:
    """Return docs/high-availability.md with the table of standings as it is now."""
    begin = "<!-- Generated from shared/roles/standings.py: `make docs`. -->\n"
    end = "<!-- End of what is generated. -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    rows = [(old.value, new.value, why) for (old, new), why in TRANSITIONS.items()]
    return f"{before}{begin}\n{table(('from', 'to', 'when'), rows)}\n\n{end}{after}"


def configuration() -> str:
    """Return docs/configuration.md."""
    parts = [
        "# Configuration",
        "Each service reads its settings from the environment and, with `--config FILE.yaml`, from"
        " a file of `name: value` lines. The environment wins. A setting that does not exist, or a"
        " value that cannot be, ends the service with one sentence and exit code 2."
        " `--check` builds everything and starts nothing, `--dump` prints the effective settings"
        " with secrets hidden.",
        "`steadflow up` gives its services what they need; then nothing here has to be set. What"
        " users change at run time (retention, names of exporters and interfaces) is no"
        " configuration: it is an event on topic `settings`, written through the API of a central.",
    ]
    for title, settings in (
        ("Collector: `python -m services.ingest`", IngestConfig),
        ("Central: `python -m services.central`", CentralConfig),
        ("Registry: `python -m services.registry`", RegistryConfig),
        ("Standby's agent: `python -m services.standby`", StandbyConfig),
    ):
        parts += [f"## {title}", table(("setting", "default", "meaning"), setting_rows(settings))]
        parts.append(
            f"In the environment: `{settings.model_config['env_prefix']}` and the name in capitals."
        )
    return page(parts)


def setting_rows(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of each setting; a setting without one is a mistake."""
    for name, field in settings.model_fields.items():
        if not field.description:
            raise ValueError(f"{settings.__name__}.{name} has no description")
        default = "" if field.default is None else f"`{field.default}`"
        yield f"`{name}`", default, field.description


def metrics() -> str:
    """Return docs/metrics.md."""
    rows: list[tuple[str, str, str, str]] = []
    for _, name, text in RECEIVER_COUNTERS:
        rows.append((f"`{PREFIX}_{name}_total`", "counter", "worker", text))
    for kind, family, own in (
        ("counter", COUNTERS, (*HOLDER_COUNTERS, *ROLES_COUNTERS)),
        ("gauge", GAUGES, (*HOLDER_GAUGES, *ROLES_GAUGES)),
    ):
        named = [(name, text, ("worker", *labels)) for name, (text, labels) in family.items()]
        for name, text, labels in [*named, *own]:
            full = f"{PREFIX}_{name}{'_total' if kind == 'counter' else ''}"
            rows.append((f"`{full}`", kind, ", ".join(labels), text))
    http = CollectorRegistry()
    http_histogram(PREFIX, http)
    every_gauge = (*HEALTH_GAUGES, *DISK_GAUGES)
    rows += [*named_rows(PREFIX, "gauge", every_gauge), *metric_rows(http)]
    central = [
        *metric_rows(CentralMetrics().registry),
        *named_rows(CENTRAL_PREFIX, "gauge", (*every_gauge, *CENTRAL_GAUGES)),
    ]
    registry = [
        *metric_rows(RegistryMetrics().registry),
        *named_rows(REGISTRY_PREFIX, "gauge", (*HEALTH_GAUGES, *REGISTRY_GAUGES)),
        *named_rows(REGISTRY_PREFIX, "counter", REGISTRY_COUNTERS),
    ]
    standby = [
        *metric_rows(StandbyMetrics().registry),
        *named_rows(STANDBY_PREFIX, "gauge", HEALTH_GAUGES),
    ]
    head = ("metric", "kind", "labels", "meaning")
    return page(
        [
            "# Metrics",
            "Every service serves them at `/metrics` in the text format of Prometheus. Labels come"
            " from small closed sets, but for `exporter`, of which at most 4,096 get series of"
            " their own and the rest are `other`. Each also has the `process_*` metrics that"
            " Prometheus clients have in common, of the process that answers."
            " [Watching it](watching.md) says which of them to look at, and has a dashboard and"
            " alert rules.",
            "## Collector",
            table(head, sorted(rows)),
            "## Central",
            table(head, sorted(central)),
            "## Registry",
            table(head, sorted(registry)),
            "## Standby's agent",
            table(head, sorted(standby)),
        ]
    )


def named_rows(
    prefix: str, kind: str, named: Iterable[tuple[str, str, tuple[str, ...]]]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each metric that is declared as name, help text and labels."""
    for name, text, labels in named:
        full = f"{prefix}_{name}{'_total' if kind == 'counter' else ''}"
        yield f"`{full}`", kind, ", ".join(labels), text


def metric_rows(registry: CollectorRegistry) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, kind, labels and help of each metric of `registry`."""
    # The registry lists label names nowhere but in its collectors.
    for collector in list(registry._collector_to_names):
        described: Any = collector  # a Counter, Gauge or Histogram of prometheus_client
        for family in described.describe():
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(described._labelnames)
            yield f"`{name}`", family.type, labels, family.documentation


def commands() -> str:
    """Return docs/commands.md."""
    parts = [
        "# Commands",
        "`steadflow COMMAND --help` says the same. `--json` prints facts for programs; everything"
        " else is for people.",
    ]
    root: Any = typer.main.get_command(app)  # click's types, as typer vendors them
    for path, command in walk(root, ()):
        parts += [f"## `steadflow {' '.join(path)}`", clean(command.help or "")]
        rows = [option_row(parameter) for parameter in command.params if not is_help(parameter)]
        if rows:
            parts.append(table(("option", "default", "meaning"), rows))
    return page(parts)


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:  # click
    """Yield every command below `command` that does something, with its words."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from walk(children[name], (*path, name))


def is_help(parameter: Any) -> bool:  # click
    """Return whether a parameter is `--help`, which every command has."""
    return "--help" in parameter.opts


def option_row(parameter: Any) -> tuple[str, str, str]:  # click
    """Return the names, default and help of one parameter."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`", "", clean(parameter.help or "")
    default = parameter.default
    is_shown = default is not None and default is not False
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names, f"`{default}`" if is_shown else "", clean(parameter.help or "")


def topics_and_messages() -> str:
    """Return docs/topics-and-messages.md."""
    topics = [
        (
            f"`{topic.name}`",
            topic.key,
            str(topic.partitions),
            "for ever"
            if topic.retention is None
            else f"{topic.retention.total_seconds() / 3600:g} h",
            topic.cleanup,
            "append" if topic.append_time else "create",
            topic.why,
        )
        for topic in TOPICS
    ]
    reasons = [(str(int(reason)), f"`{reason.label}`") for reason in LossReason]
    headers = [
        ("`v`", "schema version, now 1"),
        ("`stream`", "16 hex digits: one life of one receiver"),
        ("`worker`", "`name/index`, the record's key too"),
        ("`first`, `last`", "numbers of the range's datagrams, marks included, both inclusive"),
        ("`rows`", "flow records in the value; with 0 the value is empty"),
        ("`earliest`, `latest`", "`received_at` in ms since 1970 UTC, within one minute"),
        ("`started`", "when the stream began, ms"),
        ("`partitions`", "partition count that the stream's first mark fixed"),
        ("`ended`", "`1` when the range ends with the stream's end mark"),
        ("`log`", "id of the topic it was sent for; one for another topic is passed over"),
        ("`losses`", "JSON list of [exporter, reason, datagrams, flows]"),
    ]
    return page(
        [
            "# Topics and messages",
            "`steadflow up` creates what is missing and leaves alone what exists.",
            table(
                ("topic", "key", "partitions", "kept", "cleanup", "time", "what"),
                topics,
            ),
            "## A message on `flows`",
            "One Arrow IPC stream with one record batch (zstd): *all* rows of a closed range"
            " `first..last` of datagrams of one stream, within one minute of `received_at`. Ranges"
            " of a stream are contiguous, also over datagrams that gave no row. Columns that no"
            " record has are left out. The value is what a central inserts, as it is.",
            table(("header", "what"), headers),
            "## A message on `rates`",
            "The sums of the same range: headers as above but for `log` and `losses`, `rows` its"
            " own; none is sent for a range without flow records. One Arrow record batch with a"
            " row for each exporter, interface and direction (0 in, 1 out; interface 0 where the"
            " exporter did not say, so the rows of a direction sum up to all flows of the"
            " exporter).",
            table(
                ("column", "type", "what"),
                [
                    (f"`{field.name}`", str(field.type), RATES_COLUMNS[field.name])
                    for field in RATES_SCHEMA
                ],
            ),
            "A range that is sent again is cut the same"
            " ([0003](decisions/0003-the-decoder-keeps-a-journal-of-facts.md)), and a reader"
            " *sets* the sums of (stream, first) and never adds them. A message that the broker"
            " did not take is not sent again: rates are a view, the count is on `flows`.",
            "## A record on `collectors`",
            "JSON, every 5 s for each worker; what does not reach the broker is not sent again."
            " Null stands for what is not known. A central lists the last record of each at"
            " `/api/v1/collectors`.",
            table(
                ("field", "what"),
                [
                    (f"`{each.name}`", COLLECTOR_FIELDS[each.name])
                    for each in fields(CollectorRecord)
                ],
            ),
            "## A record on `digests`",
            "What a central holds of one closed minute (level 0) or hour (level 1) of a stream, as"
            " JSON under the key `central/stream/level/start` (16 hex digits, ms since 1970 UTC)."
            " Hash sums are 16 hex digits. It is written when the period is closed, again when a"
            " scrub finds it changed, and again after a repair; without a value the central holds"
            " nothing of it any more. Under `central/stream` stands how far a stream is closed"
            " (`minutes_until_ms`, `hours_until_ms`, `ended`), behind the periods that it covers."
            " Under `central` alone stands `left`: it was removed or replaced, and what stands"
            " before counts no more."
            " [How they are compared](high-availability.md#is-the-standby-equal).",
            table(("field", "what"), [(f"`{name}`", what) for name, what in DIGEST_FIELDS.items()]),
            "## Losses",
            "What did not become a row is a loss with its place (stream, first, last), exporter and"
            " reason. Codes are stored and never change.",
            table(("code", "reason"), reasons),
        ]
    )


def flow_record() -> str:
    """Return docs/flow-record.md."""
    rows = []
    for column in COLUMNS:
        filled = [element for element in ELEMENTS if element.column == column.name]
        # Notes begin with element numbers, which stand in the last column with their names.
        note = re.sub(r"^elements? [0-9, ]+(; )?", "", column.note)
        rows.append((f"`{column.name}`", f"`{column.clickhouse}`", note, said_by(filled)))
    return page(
        [
            "# The flow record",
            "The columns that the collector fills, Kafka carries and the store keeps. Addresses are"
            " 16 bytes, IPv4 as `::ffff:a.b.c.d`; as JSON they are text. Counters are as exported,"
            " never scaled: a report scales with `sampling_rate`.",
            table(("column", "store", "what", "information elements"), rows),
            "Of several elements for one column the earlier one wins;"
            " [protocols](protocols.md) says how the bytes of each are read. Under enterprise"
            f" {REVERSE_ENTERPRISE} (RFC 5103) an element speaks of the reverse direction; a record"
            " with both directions becomes two rows. What an exporter sends beyond this table is"
            " counted per element in `steadflow_ingest_ignored_elements_total`.",
        ]
    )


def said_by(elements: Sequence[Element]) -> str:
    """Return the elements that fill a column, the one that wins first."""
    return ", ".join(f"{e.number} {e.name}" for e in elements)


def clean(text: str) -> str:
    """Return a help text as one line."""
    return " ".join(text.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def page(parts: Sequence[str]) -> str:
    """Return a page of paragraphs with the notice below its title."""
    return "\n\n".join([parts[0], NOTICE, *parts[1:]]) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` only compare; return the exit code."""
    stale = []
    for name, text in pages().items():
        file = ROOT / name
        if not file.exists() or file.read_text() != text:
            stale.append(name)
            if "--check" not in arguments:
                file.write_text(text)
    for name in stale:
        sys.stdout.write(f"{name} {'is out of date' if '--check' in arguments else 'written'}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
