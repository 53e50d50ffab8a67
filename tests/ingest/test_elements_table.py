from pathlib import Path

import pytest

from services.ingest.decode.elements_table import BEGIN, END, elements_table, with_table

PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"


def test_the_page_says_what_the_code_does() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, (
        "run: python -m services.ingest.decode.elements_table docs/protocols.md"
    )


def test_another_table_would_be_noticed() -> None:
    changed = PAGE.read_text().replace("octetDeltaCount", "octets", 1)
    assert with_table(changed) != changed


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        with_table(BEGIN)
    assert elements_table() in with_table(f"a {BEGIN} old {END} b")
