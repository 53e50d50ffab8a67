from pathlib import Path

import pytest
from rich.console import Console

from cli.demo import MARKER, DemoError, Outcome, empty
from cli.live import CentralView, View, agree, draw, same, verdict

TOTALS = {"flows": 10, "bytes": 2_000_000, "packets": 30}
FEWER = {"flows": 9, "bytes": 2_000_000, "packets": 30}
TALKER = {"src_addr": "10.0.0.1", "bytes": 1_500_000, "flows": 7}


def central(name: str, settled: dict[str, int] | None = None) -> CentralView:
    return CentralView(name, TOTALS, settled, [TALKER], 3)


def drawn(view: View, width: int = 120) -> str:
    console = Console(width=width, record=True)
    with console.capture() as capture:
        console.print(draw(view))
    return capture.get()


def test_both_centrals_stand_side_by_side() -> None:
    text = drawn(View([central("central-a"), central("central-b")], 8.0, None, ["a note"]))

    row = next(line for line in text.splitlines() if "10.0.0.1" in line)
    assert "central-a" in text
    assert "central-b" in text
    assert row.count("1.5 MB") == 2
    assert "2.0 Mbit/s" in text
    assert "3 messages" in text
    assert "a note" in text


@pytest.mark.parametrize("width", [80, 120])
def test_the_longest_address_and_its_bytes_fit_the_terminal(width: int) -> None:
    address = "2001:db8:3462:a445:87e4:5a3b:c0de:1f2e"
    top = [TALKER | {"src_addr": address, "bytes": 999_900_000}]
    centrals = [CentralView(name, TOTALS, None, top, 3) for name in ("central-a", "central-b")]

    text = drawn(View(centrals, 8.0), width)

    row = next(line for line in text.splitlines() if address in line)
    assert row.count("999.9 MB") == 2
    assert "\N{FULL BLOCK}" in row


def test_a_host_that_one_central_does_not_rank_has_a_dash_there() -> None:
    other = CentralView("b", TOTALS, None, [TALKER | {"src_addr": "10.0.0.2"}], 3)

    text = drawn(View([central("a"), other], 8.0), 80)

    row = next(line for line in text.splitlines() if "10.0.0.1" in line)
    assert row.split()[1:5] == ["10.0.0.1", "1.5", "MB", "-"]


def test_equal_minutes_are_said_to_be_equal() -> None:
    view = View([central("a", TOTALS), central("b", TOTALS)], 90.0, "14:31")

    assert "Equal: both count 10 flows" in verdict(view).plain


def test_a_difference_is_said_with_both_numbers() -> None:
    view = View([central("a", TOTALS), central("b", FEWER)], 90.0, "14:31", unequal_s=60.0)

    assert verdict(view).plain == "Not equal until 14:31: flows a 10, b 9."


def test_a_central_that_is_behind_for_a_moment_is_catching_up() -> None:
    view = View([central("a", TOTALS), central("b", FEWER)], 90.0, "14:31", unequal_s=5.0)

    assert verdict(view).plain == "Catching up until 14:31: flows a 10, b 9."
    assert not agree(view)
    assert agree(View([central("a"), central("b")], 9.0))


def test_a_central_that_is_away_is_neither_equal_nor_different() -> None:
    view = View([central("a", TOTALS), CentralView("b")], 90.0, "14:31")

    assert "does not answer" in drawn(view)
    assert "Not every central" in verdict(view).plain


def test_same_needs_every_answer() -> None:
    assert same([TOTALS, dict(TOTALS)])
    assert not same([TOTALS, FEWER])
    assert not same([TOTALS, None])
    assert not same([])


def test_the_outcome_is_equal_only_when_all_that_was_sent_was_counted() -> None:
    assert Outcome(TOTALS, {"a": TOTALS, "b": TOTALS}, ()).is_equal
    assert not Outcome(TOTALS, {"a": FEWER, "b": FEWER}, ()).is_equal


def test_a_demo_empties_only_what_a_demo_filled(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    empty(home)
    (home / "central-a").mkdir()
    (home / "central-a" / "store").touch()
    (home / "run.json").touch()

    empty(home)

    assert [entry.name for entry in home.iterdir() if entry.name != "lock"] == [MARKER]


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.touch()

    with pytest.raises(DemoError, match="choose another"):
        empty(tmp_path)
    with pytest.raises(DemoError, match="is a file"):
        empty(precious)

    assert precious.exists()
