"""A page goes on asking, whatever becomes of a question."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from services.central.app import Central
from services.central.pages.desk import Answer, Desk, Question
from services.central.pages.panels import Asked
from services.central.pages.stats_panel import StatsPanel
from shared.settings_events import RetentionSet
from shared.topics import FLOWS, SETTINGS
from tests.central.centrals import Place
from tests.central.flow_values import HOUR, HOUR_MS, MINUTE_MS
from tests.central.page_frames import desk_of, loaded, model, steady, tab

ONCE = {"refresh": "0"}


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    place = Place(tmp_path_factory.mktemp("central"), "127.0.0.1:1", FLOWS, SETTINGS)
    with place.opened() as opened:
        steady(opened, stream=1, from_ms=HOUR, to_ms=HOUR + HOUR_MS, every_ms=20 * MINUTE_MS)
        yield opened


@pytest.fixture
def desk(central: Central) -> Desk:
    return desk_of(central, HOUR + HOUR_MS, RetentionSet(7, 30, 730))


@contextmanager
def away(central: Central) -> Iterator[None]:
    """The metadata database answers nothing meanwhile."""

    def refuse(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    event.listen(central.database, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(central.database, "before_cursor_execute", refuse)


class Mistaken(StatsPanel):
    """A panel with a mistake of ours, in its questions or where it shows the answers."""

    def __init__(self, desk: Desk, *, in_questions: bool) -> None:
        super().__init__(desk)
        self._in_questions = in_questions

    def questions(self, asked: Asked) -> Sequence[Question]:
        if self._in_questions:
            raise KeyError("flows")
        return super().questions(asked)

    def show(self, asked: Asked, answers: Sequence[Answer]) -> None:
        raise ZeroDivisionError


async def test_while_the_database_is_away_numbers_come_with_the_names_of_before(
    central: Central, desk: Desk
) -> None:
    with tab(desk, ONCE) as frame:
        stats = StatsPanel(desk)
        await loaded(frame, stats)
        known = frame._facts
        stats.fail("old")
        desk._facts_until_s = 0.0
        with away(central):
            await frame._load()

    assert frame._facts is known
    assert known.first_ms == HOUR
    assert model(stats.element)["trouble"] == ""


async def test_a_database_that_never_answered_is_named_until_it_does(
    central: Central, desk: Desk
) -> None:
    with tab(desk, ONCE) as frame:
        stats = StatsPanel(desk)
        with away(central):
            await loaded(frame, stats)
            said = model(stats.element)["trouble"]
        await frame._load()

    assert said == "The metadata database does not answer."
    assert model(stats.element)["trouble"] == ""


@pytest.mark.parametrize("in_questions", [True, False])
async def test_a_mistake_in_one_panel_is_logged_and_costs_no_other(
    desk: Desk, in_questions: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with tab(desk, ONCE) as frame:
        mistaken, stats = Mistaken(desk, in_questions=in_questions), StatsPanel(desk)
        await loaded(frame, mistaken, stats)

    assert model(mistaken.element)["trouble"] == "This central made a mistake; its log says which."
    assert model(stats.element)["stats"][0]["value"] == "100 Mbit/s"
    (record,) = [each for each in caplog.records if each.name.endswith("pages.frame")]
    assert record.exc_info is not None
