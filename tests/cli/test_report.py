import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from cli.report import QuestionError, choose_columns, filters, period, report, rows_of, show_value
from cli.terminal import format_bit_rate, format_bytes, format_count

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


class FakeCentral(HTTPServer):
    """Answers every path with `answers[path]`, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, FakeCentral)
        url = urlsplit(self.path)
        server.asked.append((url.path, parse_qs(url.query)))
        status, answer = server.answers.get(url.path, (404, {"title": "Not found"}))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def central() -> Iterator[FakeCentral]:
    server = FakeCentral()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def home(central: FakeCentral, tmp_path: Path) -> Path:
    names = [{"name": "central-a", "url": central.url, "pid": 1}]
    (tmp_path / "run.json").write_text(json.dumps({"centrals": names}))
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(report, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_json_is_the_answer_as_it_came(central: FakeCentral, home: Path) -> None:
    answer = {"flows": 3, "bytes": 1200, "packets": 9}
    central.answers["/api/v1/totals"] = (200, answer)

    code, output, _ = run("totals", "--home", str(home), "--json")

    assert code == 0
    assert json.loads(output) == answer


def test_top_asks_with_filters_and_shows_units(central: FakeCentral, home: Path) -> None:
    rows = [{"src_addr": "10.0.0.1", "bytes": 2_500_000, "flows": 1200}]
    central.answers["/api/v1/reports/top"] = (
        200,
        {"rows": rows, "from": "f", "to": "t", "source": "rollups", "notes": ["a note"]},
    )

    code, output, _ = run(
        "top", "--home", str(home), "--by", "src_addr", "--limit", "5",
        "--where", "dst_port=443", "--where", "dst_port=80", "--from", "2026-03-02T14:00:00Z",
    )  # fmt: skip

    assert code == 0
    assert "10.0.0.1" in output
    assert "2.5 MB" in output
    assert "a note" in output
    path, question = central.asked[0]
    assert path == "/api/v1/reports/top"
    assert question == {
        "by": ["src_addr"],
        "metric": ["bytes"],
        "limit": ["5"],
        "dst_port": ["443", "80"],
        "from": ["2026-03-02T14:00:00Z"],
    }


def test_a_problem_is_said_in_its_own_sentence(central: FakeCentral, home: Path) -> None:
    central.answers["/api/v1/reports/top"] = (400, {"detail": "by: is none of exporter."})

    code, _, error = run("top", "--home", str(home), "--by", "nonsense")

    assert code == 1
    assert error.strip() == "central-a: by: is none of exporter."


@pytest.mark.parametrize(
    "arguments",
    [
        ("totals", "--home", "/nowhere"),
        ("totals", "--url", "http://127.0.0.1:1"),
        ("totals", "--url", "no url"),
    ],
)
def test_a_central_that_is_away_is_one_sentence(arguments: tuple[str, ...]) -> None:
    code, _, error = run(*arguments)

    assert code == 1
    assert len(error.strip().splitlines()) == 1


def test_an_unknown_central_is_named_with_those_there_are(home: Path) -> None:
    code, _, error = run("totals", "--home", str(home), "--central", "central-z")

    assert code == 1
    assert "central-a" in error


def test_last_is_a_period_until_now() -> None:
    assert period(None, None, "15m", NOW) == {
        "from": "2026-03-02T14:15:00.000Z",
        "to": "2026-03-02T14:30:00.000Z",
    }


@pytest.mark.parametrize("last", ["", "15", "m", "-5m", "0h", "5y", "99999999999d"])
def test_a_period_that_is_none_is_refused(last: str) -> None:
    with pytest.raises(QuestionError):
        period(None, None, last, NOW)


@pytest.mark.parametrize("text", ["dst_port", "=443", "dst_port="])
def test_a_filter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(QuestionError):
        filters([text])


def test_rows_and_facts_of_an_answer() -> None:
    facts, rows = rows_of({"from": "a", "rows": [{"bytes": 1}], "flows": 2, "losses": {}})

    assert (facts, rows) == ({"flows": 2}, [{"bytes": 1}])


def test_columns_that_say_nothing_are_left_out() -> None:
    rows = [{"exporter": "10.0.0.1", "vrf": None, "bytes": 5, "bytes_scaled": 5}]

    assert choose_columns(rows, None, 200) == ["exporter", "bytes"]
    assert choose_columns([rows[0] | {"bytes_scaled": 50}], None, 200)[-1] == "bytes_scaled"


def test_a_narrow_terminal_shows_the_most_important_columns_of_a_flow() -> None:
    rows = [{"received_at": "x" * 30, "src_port": 1, "bytes": 5, "src_addr": "10.0.0.1"}]

    assert choose_columns(rows, None, 20) == ["src_addr", "bytes"]
    assert choose_columns(rows, None, 80) == ["src_addr", "bytes", "src_port", "received_at"]


def test_columns_are_chosen_by_name(central: FakeCentral, home: Path) -> None:
    central.answers["/api/v1/flows"] = (200, {"rows": [{"src_addr": "10.0.0.1", "vrf": 7}]})

    code, output, _ = run("flows", "--home", str(home), "--columns", "vrf")
    bad, _, error = run("flows", "--home", str(home), "--columns", "mangos")

    assert (code, "10.0.0.1" in output, "vrf" in output) == (0, False, True)
    assert (bad, error.strip()) == (2, "--columns mangos: is none of src_addr, vrf.")


def test_numbers_carry_fitting_units() -> None:
    assert format_bytes(999) == "999 B"
    assert format_bytes(12_300_000) == "12.3 MB"
    assert format_count(1234) == "1,234"
    assert format_count(12_340_000) == "12.34 M"
    assert format_bit_rate(1_250_000, 10) == "1.0 Mbit/s"
    assert show_value("in_bytes", 1500) == "1.5 kB"
    assert show_value("in_flows", 1500) == "1,500"
    assert show_value("in_if", 1500) == "1500"
    assert show_value("src_as", 64500) == "64500"
    assert show_value("last_seen", "2026-03-02T14:30:00.000Z") == "2026-03-02 14:30:00"
