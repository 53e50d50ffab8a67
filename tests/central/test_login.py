"""Who may ask what: rules, sessions, waits and records, with values."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.central.login.access import (
    Kind,
    Need,
    Who,
    foreign_origin,
    is_granted,
    is_loopback,
    is_recorded,
    may_of,
    needed,
)
from services.central.login.api_tokens import TokenText, read_token_text
from services.central.login.failures import EVERY_S, FailureTally
from services.central.login.headers import page_policy
from services.central.login.login_page import safe_target
from services.central.login.passwords import (
    hash_password,
    is_password_of,
    password_problem,
)
from services.central.login.sessions import (
    SESSION_S,
    Session,
    read_session,
    session_key,
    stamp_of,
    write_session,
)
from services.central.login.throttle import (
    ACCOUNT_FREE,
    ACCOUNT_WAIT_MAX_S,
    ADDRESS_FREE,
    ADDRESS_WAIT_MAX_S,
    FORGET_S,
    Throttle,
)

KEY = session_key("a token")
SESSION = Session("admin", 1_000, "0123456789abcdef", stamp_of("$argon2id$one"))
NOW_S = 1_060.0


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/health/ready", Need.NOTHING),
        ("GET", "/login", Need.NOTHING),
        ("POST", "/login", Need.NOTHING),
        ("POST", "/api/v1/join", Need.NOTHING),
        ("GET", "/_steadflow/steadflow.css", Need.NOTHING),
        ("GET", "/", Need.READ),
        ("GET", "/metrics", Need.READ),
        ("GET", "/api/v1/totals", Need.READ),
        ("POST", "/_nicegui_ws/socket.io/", Need.READ),
        ("GET", "/api/v1/audit", Need.KNOWN),
        ("GET", "/api/v1/invites", Need.OWN),
        ("GET", "/api/v1/snapshots/00/files/metadata.db", Need.OWN),
        ("DELETE", "/api/v1/tokens/00", Need.OWN),
        ("PUT", "/api/v1/settings/retention", Need.CHANGE),
        ("POST", "/logout", Need.NOTHING),
        ("POST", "/api/v1/brokers/m2/remove", Need.OWN),
        ("GET", "/api/v1/brokers", Need.READ),
        ("POST", "/api/v1/cluster/forget", Need.OWN),
        ("POST", "/api/v1/cluster/switchover", Need.CHANGE),
        ("POST", "/health/ready", Need.CHANGE),
        ("POST", "/_steadflow/steadflow.css", Need.CHANGE),
        ("PATCH", "/nowhere", Need.CHANGE),
        ("TRACE", "/", Need.CHANGE),
        ("GET", "/login/", Need.READ),
        ("GET", "/api/v1/accountsX", Need.READ),
    ],
)
def test_what_is_not_named_needs_what_its_method_can(method: str, path: str, need: Need) -> None:
    assert needed(method, path) is need


def test_every_change_is_recorded_and_what_nodes_tell_each_other_is_not() -> None:
    assert is_recorded("PUT", "/api/v1/settings/retention")
    assert is_recorded("POST", "/api/v1/a/route/of/a/later/release")
    assert is_recorded("POST", "/api/v1/join")
    assert is_recorded("POST", "/api/v1/cluster/forget")
    for method, path in (
        ("GET", "/api/v1/invites"),
        ("POST", "/api/v1/join/progress"),
        ("POST", "/api/v1/join/preview"),
        ("POST", "/_nicegui_ws/socket.io/"),
        ("POST", "/login"),
    ):
        assert not is_recorded(method, path)


def test_reading_that_is_open_is_open_for_no_more_than_reading() -> None:
    nobody, reader = Who(), Who(Kind.TOKEN, "grafana", may_of("read"))
    changer, owner = Who(Kind.TOKEN, "script", may_of("change")), Who(Kind.ACCOUNT, "a", Need.OWN)

    def granted(who: Who, *, is_reading_open: bool) -> list[bool]:
        return [is_granted(need, who, is_reading_open=is_reading_open) for need in Need]

    assert granted(nobody, is_reading_open=False) == [True, False, False, False, False]
    assert granted(nobody, is_reading_open=True) == [True, True, False, False, False]
    assert granted(reader, is_reading_open=False) == [True, True, True, False, False]
    assert granted(changer, is_reading_open=False) == [True, True, True, True, False]
    assert granted(owner, is_reading_open=False) == [True] * 5
    assert may_of("a scope of a later release") is Need.KNOWN


@pytest.mark.parametrize(
    ("headers", "by_cookie", "is_refused"),
    [
        ({"origin": "http://central:8470"}, True, False),
        ({"origin": "http://CENTRAL:8470"}, True, False),
        ({"sec-fetch-site": "same-origin"}, True, False),
        ({}, False, False),
        ({}, True, True),
        ({"origin": "http://evil.example"}, True, True),
        ({"origin": "http://evil.example"}, False, True),
        ({"origin": "null"}, True, True),
        ({"origin": ""}, True, True),
        ({"sec-fetch-site": "cross-site"}, False, True),
        ({"sec-fetch-site": "same-site"}, True, True),
        ({"sec-fetch-site": "none"}, True, True),
        ({"origin": "http://central:8470", "sec-fetch-site": "cross-site"}, True, False),
    ],
)
def test_a_page_of_elsewhere_changes_nothing(
    headers: dict[str, str], by_cookie: bool, is_refused: bool
) -> None:
    given_headers = {"host": "central:8470"} | headers
    assert bool(foreign_origin("POST", given_headers, by_cookie=by_cookie)) is is_refused
    assert not foreign_origin("GET", given_headers, by_cookie=by_cookie)


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8470", True),
        ("127.8.9.10:1", True),
        ("localhost", True),
        ("LOCALHOST:8470", True),
        ("::1", True),
        ("[::1]:8470", True),
        ("", False),
        ("0.0.0.0", False),
        ("192.0.2.1:8470", False),
        ("evil.example:8470", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.x", False),
        ("localhost.evil.example", False),
        ("127.0.0.1:8470.evil.example", False),
    ],
)
def test_only_a_name_that_nobody_can_move_is_loopback(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it


def test_a_session_is_read_back_until_it_is_over() -> None:
    text = write_session(SESSION, KEY)

    assert read_session(text, KEY, NOW_S) == SESSION
    assert read_session(text, KEY, 1_000 + SESSION_S - 1) == SESSION
    assert read_session(text, KEY, 1_000 + SESSION_S) is None
    assert read_session(text, KEY, 0) is None
    assert read_session(text, session_key("another token"), NOW_S) is None


def test_a_session_that_was_changed_anywhere_is_none() -> None:
    text = write_session(SESSION, KEY)
    for place in range(len(text)):
        other = "0" if text[place] != "0" else "1"
        assert read_session(text[:place] + other + text[place + 1 :], KEY, NOW_S) is None


@given(st.text(max_size=200))
def test_any_text_is_a_session_or_none(text: str) -> None:
    assert read_session(text, KEY, NOW_S) is None


def test_a_password_is_known_by_its_hash_alone() -> None:
    made = hash_password("correct horse battery")

    assert made.startswith("$argon2id$")
    assert is_password_of("correct horse battery", made)
    assert not is_password_of("correct horse batterx", made)
    assert not is_password_of("correct horse battery", "no hash")
    assert hash_password("correct horse battery") != made


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("eleven-char", "at least 12"),
        ("x" * 257, "at most 256"),
        ("aaaaaaaaaaaaaaaa", "easy to guess"),
        ("my-Admin-password", "easy to guess"),
    ],
)
def test_passwords_that_are_guessed_are_refused(password: str, why: str) -> None:
    assert why in password_problem(password, "admin")
    assert not password_problem("correct horse battery", "admin")


def test_an_api_token_is_read_back_and_hides_its_secret() -> None:
    text = TokenText("00" * 8, "5e" * 24)

    assert read_token_text(str(text)) == text
    assert text.secret not in repr(text)
    for wrong in ("", str(text)[:-1], str(text) + "0", str(text).upper(), "sft.."):
        assert read_token_text(wrong) is None


def test_who_fails_waits_longer_each_time_and_is_forgiven_in_the_end() -> None:
    throttle = Throttle()
    waits = []
    for _ in range(ADDRESS_FREE + 12):
        waits.append(throttle.wait_s("192.0.2.1", "admin", 0.0))
        throttle.failed("192.0.2.1", "admin", 0.0)

    assert waits[:ADDRESS_FREE] == [0.0] * ADDRESS_FREE
    assert waits[ADDRESS_FREE : ADDRESS_FREE + 4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == ADDRESS_WAIT_MAX_S
    assert throttle.wait_s("192.0.2.1", "admin", ADDRESS_WAIT_MAX_S) == 0.0
    assert throttle.wait_s("192.0.2.1", "admin", FORGET_S + 1) == 0.0


def test_many_addresses_slow_an_account_down_but_lock_nobody_out() -> None:
    throttle = Throttle()
    throttle.failed("192.0.2.77", "admin", 0.0)
    throttle.succeeded("192.0.2.77", "admin")
    for number in range(ACCOUNT_FREE + 40):
        throttle.failed(f"198.51.100.{number}", "admin", 0.0)

    assert throttle.wait_s("203.0.113.1", "admin", 0.0) == ACCOUNT_WAIT_MAX_S
    assert throttle.wait_s("203.0.113.1", "another", 0.0) == 0.0
    # Negative control: who never logged in from there waits.
    assert throttle.wait_s("192.0.2.77", "admin", 0.0) == 0.0
    assert throttle.wait_s("192.0.2.78", "admin", 0.0) > 0.0


def test_one_ipv6_network_is_one_caller() -> None:
    throttle = Throttle()
    for number in range(ADDRESS_FREE + 1):
        throttle.failed(f"2001:db8::{number}", f"account-{number}", 0.0)

    assert throttle.wait_s("2001:db8::ffff", "admin", 0.0) > 0
    assert throttle.wait_s("2001:db8:0:1::1", "admin", 0.0) == 0


def test_what_is_remembered_is_bounded() -> None:
    chance = random.Random(7)
    throttle = Throttle(kept_max=100)
    for _ in range(1_000):
        address, account = str(chance.random()), str(chance.random())
        throttle.failed(address, account, 0.0)
        throttle.succeeded(address, account)

    kept = (throttle._by_address, throttle._by_account, throttle._succeeded)
    assert all(len(each) <= 100 for each in kept)


def test_failed_logins_do_not_flood_the_record() -> None:
    tally = FailureTally()
    noted = [tally.failed("192.0.2.1", "", second / 10) for second in range(1_200)]

    due = [each for each in noted if each is not None]
    assert [each.count for each in due] == [1, 600]
    last = tally.due(119.9 + EVERY_S)
    assert last is not None
    assert last.count == 599
    assert tally.due(1_000.0) is None


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("/failover?theme=dark", "/failover?theme=dark"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\n/evil", "/"),
        ("/login?next=/", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_a_page_of_this_server(asked: str, there: str) -> None:
    assert safe_target(asked) == there


def test_the_policy_names_other_centrals_and_nothing_they_make_up() -> None:
    policy = page_policy(["https://b.example:8443", "http://x; script-src *", "ftp://c"])

    assert "connect-src 'self' https://b.example:8443;" in policy
    assert "script-src *" not in policy
    assert "frame-ancestors 'none'" in policy
