"""What the primary's answer says of the way back, by the name under which a machine is known."""

from typing import Any

import pytest

from services.standby.back import Back, Judged, judged

ASKS, SECOND = "10.0.0.7", "192.168.5.7"
NAME = "flows-b.example.com"


def answer(*addresses: str, is_tried: bool = False) -> dict[str, Any]:
    host = {"addresses": list(addresses), "is_tried": is_tried}
    return {"from": ASKS, "problems": [], "host": host}


def judge(content: dict[str, Any], host: str = NAME) -> Judged:
    return judged(Back.from_json(content), host, lambda each: each in (ASKS, SECOND, "127.0.1.1"))


def test_a_name_that_the_primary_tried_is_fine() -> None:
    assert judge(answer(ASKS, "10.0.0.9", is_tried=True)) == Judged(())
    assert judge(answer("127.0.1.1", is_tried=True)) == Judged(())


def test_a_name_that_is_not_known_there_is_named() -> None:
    said = "the name flows-b.example.com is not known on the primary"
    assert judge(answer()) == Judged((said,))


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (NAME, ("10.0.0.9",)),
        (NAME, ("10.0.0.9", "fd00::9")),
        # It leads the primary to itself, though every machine has that address.
        (NAME, ("127.0.1.1",)),
        ("127.0.1.1", ("127.0.1.1",)),
    ],
)
def test_a_name_that_leads_elsewhere_is_named(host: str, addresses: tuple[str, ...]) -> None:
    known = ", ".join(addresses)
    said = f"the primary knows {host} as {known}, this machine asks from 10.0.0.7"
    assert judge(answer(*addresses), host) == Judged((said,))


def test_a_machine_with_several_addresses_is_not_refused() -> None:
    said = f"{NAME} at {SECOND} could not be tried from the primary: this machine asks from {ASKS}"
    assert judge(answer(SECOND)) == Judged((), (said,))
    # An address that was chosen by hand may be translated on the way.
    said = f"203.0.113.7 could not be tried from the primary: this machine asks from {ASKS}"
    assert judge(answer("203.0.113.7"), "203.0.113.7") == Judged((), (said,))


def test_closed_ports_are_said_with_what_the_name_leads_to() -> None:
    closed = {"problems": ["10.0.0.7:19094: refused"]}
    found = judge(answer("10.0.0.9") | closed)
    assert (found.unreachable[0], len(found.unreachable)) == ("10.0.0.7:19094: refused", 2)
    assert judge(answer(ASKS, is_tried=True) | closed).unreachable == tuple(closed["problems"])


def test_a_primary_of_a_release_before_says_nothing_of_the_name() -> None:
    assert judge({"from": ASKS, "problems": []}) == judge({"problems": []}) == Judged(())
    assert judge({"problems": ["10.0.0.7:8443: refused"]}).unreachable == (
        "10.0.0.7:8443: refused",
    )
