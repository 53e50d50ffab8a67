import pytest

from services.central.pages.path_parts import read_address, read_index
from services.central.pages.problem_page import not_found, shown


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1"),
        ("::", "::"),
        ("10.0.0.256", None),
        ("010.0.0.1", None),
        ("10.0.0.0/8", None),
        ("fe80::1%eth0", None),
        ("167772161", None),
        ("", None),
        ("<b>", None),
        ("1" * 5000, None),
    ],
)
def test_an_address_is_read_as_reports_write_it(text: str, address: str | None) -> None:
    assert read_address(text) == address


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("0", 0),
        ("7", 7),
        ("4294967295", 4_294_967_295),
        ("4294967296", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("1e3", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_an_interface_is_a_number_of_32_bits(text: str, index: int | None) -> None:
    assert read_index(text) == index


def test_what_was_typed_is_escaped_in_the_page() -> None:
    page = bytes(not_found("<script>alert(1)</script>", head="", central="<i>").body).decode()

    assert "<script>" not in page
    assert "<i>" not in page


def test_what_was_typed_is_shown_short_and_printable() -> None:
    assert shown("a\x00b\u202ec") == "a?b?c"
    assert len(shown("x" * 5000)) == 81
