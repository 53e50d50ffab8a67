"""The dashboard and the alert rules: they name only what services really serve, and say what."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from shared.plain_http import PLAIN_HTTP
from tests.deploy.promql import named
from tests.faults.system import ROOT, running, traffic
from tests.waiting import wait_until

DASHBOARD = ROOT / "deploy" / "grafana" / "steadflow.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"
TARGET_LABELS = {"instance", "job"}
PROMETHEUS_OWN = {"up": TARGET_LABELS}
ROWS = [
    "At a glance", "Roles", "Collectors", "Kafka lag", "Centrals", "Losses", "Live rates", "HTTP",
    "Disks and processes",
]  # fmt: skip

Served = Mapping[str, set[str]]
"""The labels of each metric."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, where it stands, and the labels that its text shows."""

    place: str
    expression: str
    shown: frozenset[str]


def panels() -> list[dict[str, Any]]:  # JSON
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def rules() -> list[dict[str, Any]]:  # YAML
    found: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][
        0
    ]["rules"]
    return found


def everything_asked() -> Iterator[Asked]:
    for panel in panels():
        for target in panel.get("targets", []):
            shown = re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"])
            yield Asked(panel["title"], target["expr"], frozenset(shown))
    for rule in rules():
        shown = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        yield Asked(rule["alert"], rule["expr"], frozenset(shown))
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if query := re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", "")):
            yield Asked(f"${variable['name']}", query[1], frozenset({query[2]}))


def unknown(asked: Iterable[Asked], served: Served) -> list[str]:
    """Return a sentence for each metric and label that nothing serves."""
    wrong = []
    for each in asked:
        found = named(each.expression)
        known: set[str] = set(TARGET_LABELS)
        for metric, labels in found.selected:
            if metric not in served:
                wrong.append(f"{each.place}: no metric {metric}")
                continue
            own = served[metric] | TARGET_LABELS
            known |= own
            wrong += [f"{each.place}: {metric} has no label {name}" for name in labels - own]
        wrong += [f"{each.place}: no label {name} to group by" for name in found.grouped - known]
        visible = found.grouped or known
        wrong += [f"{each.place}: no label {name} to show" for name in each.shown - visible]
    return wrong


def served_by(text: str, declared: Served) -> dict[str, set[str]]:
    """Return the metrics of a /metrics page.

    Of a counter that counted nothing yet only the name stands there: what its labels will be says
    the page that is generated from the code.
    """
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for suffix in suffixes.get(family.type, [""]):
                labels = declared.get(family.name + suffix) or declared.get(family.name, set())
                found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def declared() -> dict[str, set[str]]:
    rows = re.findall(
        r"^\| `(\w+)` \| \w+ \| ([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    return {
        name: {label.strip() for label in labels.split(",") if label.strip()}
        for name, labels in rows
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """What each service serves once there was good and bad traffic."""
    with running(tmp_path_factory.mktemp("watching") / "home") as system:
        status = system.status()
        collector, central = status["collectors"][0]["url"], status["centrals"][0]["url"]

        def page(url: str) -> str:
            place = f"{url}/metrics"
            return httpx.get(place, trust_env=False, verify=PLAIN_HTTP, timeout=30).text

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
            exporter.sendto(b"\x00\x07no flow data", ("127.0.0.1", system.udp_port))
        with traffic(system, "--rate", "500", "--duration", "3") as sending:
            sending.wait()
        wait_until(
            lambda: (
                "steadflow_ingest_lost_datagrams_total{" in page(collector)
                and 'steadflow_central_messages_total{verdict="good"}' in page(central)
                and "steadflow_central_lost_datagrams_total{" in page(central)
            ),
            "good and bad datagrams are counted",
        )
        # What tests ask of a central is counted too.
        httpx.get(f"{central}/api/v1/totals", trust_env=False, timeout=60)
        wait_until(lambda: system.status()["primary"] is not None, "a primary")
        texts = [page(collector), page(central), page(status["registries"][0]["url"])]
    known = declared()
    found: dict[str, set[str]] = dict(PROMETHEUS_OWN)
    for text in texts:
        for name, labels in served_by(text, known).items():
            found[name] = found.get(name, set()) | labels
    return found


@pytest.mark.kafka
@pytest.mark.slow
def test_dashboard_and_rules_name_only_metrics_and_labels_that_are_served(served: Served) -> None:
    assert unknown(everything_asked(), served) == []


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "shown", "wrong"),
    [
        ("rate(steadflow_ingest_flies_total[5m])", "", "no metric steadflow_ingest_flies_total"),
        ('steadflow_ingest_ready{colour="red"}', "", "steadflow_ingest_ready has no label colour"),
        (
            "sum by (reson) (steadflow_ingest_lost_datagrams_total)",
            "",
            "no label reson to group by",
        ),
        ("steadflow_ingest_lag_seconds", "exporter", "no label exporter to show"),
        ("sum by (worker) (steadflow_ingest_lag_seconds)", "instance", "no label instance to show"),
    ],
)
def test_an_invented_name_is_found(served: Served, expression: str, shown: str, wrong: str) -> None:
    asked = Asked("panel", expression, frozenset(filter(None, [shown])))
    assert unknown([asked], served) == [f"panel: {wrong}"]


def test_rows_are_what_one_looks_for() -> None:
    assert [panel["title"] for panel in panels() if panel["type"] == "row"] == ROWS


def test_every_panel_says_what_is_seen_in_which_unit() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert panel["title"]
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        for datasource in (panel["datasource"], *(t["datasource"] for t in panel["targets"])):
            assert datasource == {"type": "prometheus", "uid": "${datasource}"}


def test_units_are_those_of_the_metrics() -> None:
    for panel in panels():
        for target in panel.get("targets", []):
            is_ratio = " / " in target["expr"]
            is_counted = "rate(" in target["expr"] or "increase(" in target["expr"]
            unit = panel["fieldConfig"]["defaults"]["unit"]
            for metric in named(target["expr"]).metrics:
                if metric.endswith("_bytes") and not is_ratio:
                    assert unit == "bytes", panel["title"]
                if metric.endswith("_seconds") and not is_counted:
                    assert unit == "s", panel["title"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_rule_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


@pytest.fixture
def promtool() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cached = cache / "steadflow" / "promtool"
    found = shutil.which("promtool") or (str(cached) if cached.exists() else None)
    if found is None:
        pytest.skip("no promtool here: apt-get install prometheus, or sh tests/install-tools.sh")
    return found


def check(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_itself_takes_configuration_and_rules(promtool: str) -> None:
    check(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    check(promtool, "test", "rules", PROMETHEUS / "rules_test.yml")


def test_prometheus_itself_takes_every_expression_of_the_dashboard(
    promtool: str, tmp_path: Path
) -> None:
    as_rules = [
        {
            "record": f"panel:{number}",
            "expr": asked.expression.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, asked in enumerate(everything_asked())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": as_rules}]}))
    check(promtool, "check", "rules", "--lint=none", file)
