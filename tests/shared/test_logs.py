"""The same sentence once in a while, all others at once."""

import logging

import httpx
import pytest

from shared.logs import EVERY_S, KEPT, SOURCES, OnceInAWhile, log_lines


def said(sentence: str, at_s: float) -> logging.LogRecord:
    record = logging.LogRecord("aiokafka", logging.ERROR, "x.py", 1, "%s", (sentence,), None)
    record.created = at_s
    return record


def test_a_sentence_is_said_again_only_later_and_another_one_at_once() -> None:
    once = OnceInAWhile()

    assert once.filter(said("no broker", 100.0))
    assert not once.filter(said("no broker", 100.0 + EVERY_S / 2))
    assert once.filter(said("no other broker", 100.1))
    assert once.filter(said("no broker", 100.0 + EVERY_S))


def test_a_clock_that_was_put_back_keeps_nothing_silent() -> None:
    once = OnceInAWhile()

    assert once.filter(said("no broker", 1000.0))
    assert once.filter(said("no broker", 10.0))


def test_what_is_kept_is_bounded() -> None:
    once = OnceInAWhile()
    for number in range(3 * KEPT):
        assert once.filter(said(str(number), 1.0))
    assert len(once._said_s) <= KEPT


def test_each_source_gets_one() -> None:
    for _ in range(2):
        log_lines()
    for name in SOURCES:
        filters = logging.getLogger(name).filters
        assert [type(each) for each in filters].count(OnceInAWhile) == 1


def test_no_line_tells_what_was_asked_over_http(caplog: pytest.LogCaptureFixture) -> None:
    log_lines()
    transport = httpx.MockTransport(lambda request: httpx.Response(204))
    with caplog.at_level(logging.INFO), httpx.Client(transport=transport) as client:
        client.post("https://hooks.example/services/SECRET")
        assert caplog.text == ""
        logging.getLogger("httpx").setLevel(logging.INFO)
        client.post("https://hooks.example/services/SECRET")
        assert "SECRET" in caplog.text
    log_lines()
