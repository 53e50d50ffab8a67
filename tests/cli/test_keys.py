import os
import pty
import termios
from collections.abc import Iterator

import pytest

from cli.keys import keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    outside, inside = pty.openpty()
    yield outside, inside
    os.close(outside)
    os.close(inside)


def test_a_key_is_read_without_return_and_not_shown(terminal: tuple[int, int]) -> None:
    outside, inside = terminal
    before = termios.tcgetattr(inside)

    with keys(inside) as pressed:
        assert pressed.can_come
        assert pressed.pressed(0) == ""
        os.write(outside, b"k")
        assert pressed.pressed(60) == "k"

    assert termios.tcgetattr(inside) == before


def test_without_a_terminal_no_key_comes() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"k")

    with keys(reading) as pressed:
        assert not pressed.can_come
        assert pressed.pressed(0) == ""

    os.close(reading)
    os.close(writing)
