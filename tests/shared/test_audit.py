"""Records of changes: what was written once is read for ever, and no secret gets in."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit import TEXT_MAX, Audited, AuditError, decode_audited, encode_audited, facts_of
from shared.on_behalf import Behalf, address_in, read_behalf, write_behalf

# Never change a line: these bytes are in somebody's log.
STORED: list[tuple[bytes, Audited]] = [
    (
        b'{"v":1,"at_ms":9,"node":"central-a","by":"account admin","address":"192.0.2.7",'
        b'"what":"Log in"}',
        Audited(9, "central-a", "account admin", "192.0.2.7", "Log in"),
    ),
    (
        b'{"v":1,"at_ms":9,"node":"central-a","by":"system root","address":"127.0.0.1",'
        b'"what":"Name an exporter","request":"PUT /api/v1/settings/exporters/192.0.2.1",'
        b'"status":200,"facts":"name=core","count":1,"session":"","later":true}',
        Audited(
            9, "central-a", "system root", "127.0.0.1", "Name an exporter",
            "PUT /api/v1/settings/exporters/192.0.2.1", 200, "name=core",
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("value", "audited"), STORED)
def test_stored_bytes_decode_for_ever(value: bytes, audited: Audited) -> None:
    assert decode_audited(value) == audited


@given(
    st.builds(
        Audited,
        st.integers(0, 2**63),
        st.text(max_size=TEXT_MAX),
        st.text(max_size=20),
        st.text(max_size=20),
        st.text(max_size=20),
    )
)
def test_encode_then_decode_is_the_record(audited: Audited) -> None:
    assert decode_audited(encode_audited(audited)) == audited


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_the_one_error(value: bytes) -> None:
    with contextlib.suppress(AuditError):
        decode_audited(value)


def test_of_a_body_only_what_is_known_to_be_no_secret_is_noted() -> None:
    body = {"name": "core\n1", "password": "hunter2", "token": "sf1.x", "scope": "read", "to": ""}

    assert facts_of(json.dumps(body).encode()) == "name=core?1 scope=read"
    for other in (b"", b"[1]", b"{", b'"text"', json.dumps({"name": {"password": "x"}}).encode()):
        assert facts_of(other) == ""


def test_for_whom_somebody_asks_is_read_back() -> None:
    behalf = Behalf("account", "admin", "2001:db8::1")

    assert read_behalf(write_behalf(behalf)) == behalf
    assert read_behalf(write_behalf(Behalf("token", "my script"))) == Behalf("token", "my_script")
    for wrong in ("", "account", "root admin", "nobody x"):
        assert read_behalf(wrong) is None
    assert address_in(write_behalf(Behalf("nobody", "", "192.0.2.7"))) == "192.0.2.7"
    assert address_in(write_behalf(Behalf("nobody", ""))) == address_in("") == ""
    assert write_behalf(Behalf("token", "zwölf\r\nX: y")).isascii()
    assert "\n" not in write_behalf(Behalf("token", "zwölf\r\nX: y"))
