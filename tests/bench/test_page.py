import json

import pytest

from bench.__main__ import PAGE, RESULTS
from bench.page import BEGIN, END, with_tables


def test_the_page_has_the_tables_of_the_committed_result() -> None:
    page = PAGE.read_text()

    assert with_tables(page, json.loads(RESULTS.read_text())) == page


def test_a_page_without_a_place_is_an_error_and_the_rest_stays() -> None:
    result = json.loads(RESULTS.read_text())

    made = with_tables(f"a\n{BEGIN}\nSTALE\n{END}\nz\n", result)
    assert made.startswith(f"a\n{BEGIN}\n")
    assert made.endswith(f"{END}\nz\n")
    assert "STALE" not in made
    with pytest.raises(ValueError, match="no place"):
        with_tables("a page", result)
