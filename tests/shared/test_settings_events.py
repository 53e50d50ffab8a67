"""Settings events: what was written once is read for ever."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import pack_address
from shared.settings_events import (
    ExporterNamed,
    InterfaceNamed,
    Invite,
    MachineLeaves,
    RetentionSet,
    SettingRemoved,
    SettingsEvent,
    SettingsEventError,
    decode,
    encode,
)

EXPORTER = pack_address("192.0.2.1")

# Never change a line: these bytes are in somebody's log.
STORED: list[tuple[bytes, bytes, SettingsEvent]] = [
    (
        b"retention",
        b'{"v":1,"kind":"retention","raw_days":7,"minute_days":30,"hour_days":730}',
        RetentionSet(7, 30, 730),
    ),
    (
        b"exporter/192.0.2.1",
        b'{"v":1,"kind":"exporter","exporter":"192.0.2.1","name":"core"}',
        ExporterNamed(EXPORTER, "core"),
    ),
    (
        b"interface/2001:db8::1/3",
        b'{"v":1,"kind":"interface","exporter":"2001:db8::1","if_index":3,"name":"x"}',
        InterfaceNamed(pack_address("2001:db8::1"), 3, "x", 0),
    ),
    (
        b"invite/00112233",
        b'{"v":1,"kind":"invite","invite":"00112233","joins_as":"standby",'
        b'"secret_hash":"aabbccdd","expires_at_ms":9,"used_by":"central-c"}',
        Invite("00112233", "standby", "aabbccdd", 9, used_by="central-c"),
    ),
    (
        b"leaving/witness-1",
        b'{"v":1,"kind":"leaving","machine":"witness-1","asked_at_ms":9,"replaced_by":"w-2",'
        b'"had_central":true}',
        MachineLeaves("witness-1", 9, "w-2", had_central=True),
    ),
    (b"exporter/192.0.2.1", b"", SettingRemoved("exporter/192.0.2.1")),
]


@pytest.mark.parametrize(("key", "value", "event"), STORED)
def test_stored_bytes_decode_for_ever(key: bytes, value: bytes, event: SettingsEvent) -> None:
    assert decode(key, value) == event


names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255)
events = st.one_of(
    st.builds(RetentionSet, st.integers(4, 30), st.integers(30, 99), st.integers(99, 36_500)),
    st.builds(ExporterNamed, st.binary(min_size=16, max_size=16), names),
    st.builds(
        InterfaceNamed,
        st.binary(min_size=16, max_size=16),
        st.integers(0, 2**32 - 1),
        names,
        st.integers(0, 10**15),
    ),
    st.builds(
        Invite,
        st.from_regex("[0-9a-f]{8,64}", fullmatch=True),
        names,
        st.from_regex("[0-9a-f]{8,64}", fullmatch=True),
        st.integers(0, 2**63 - 1),
        st.just("") | names,
        st.just("") | names,
        st.just("") | st.from_regex("[0-9a-f]{8,64}", fullmatch=True),
        st.integers(0, 2**63 - 1),
    ),
    st.builds(
        MachineLeaves,
        st.from_regex("[A-Za-z0-9._-]{1,64}", fullmatch=True),
        st.integers(0, 2**63 - 1),
        st.just("") | names,
        st.booleans(),
    ),
    st.builds(SettingRemoved, st.text(min_size=1).filter(str.isprintable)),
)


@given(events)
def test_encode_then_decode_is_the_event(event: SettingsEvent) -> None:
    assert decode(*encode(event)) == event


@given(st.binary(max_size=60), st.binary(max_size=200))
def test_any_bytes_decode_or_raise_the_one_error(key: bytes, value: bytes) -> None:
    with contextlib.suppress(SettingsEventError):
        decode(key, value)


@pytest.mark.parametrize(
    "event",
    [
        RetentionSet(0, 30, 730),
        RetentionSet(7, 6, 730),
        RetentionSet(7, 30, 10**12),
        ExporterNamed(EXPORTER, ""),
        ExporterNamed(EXPORTER, "x" * 256),
        ExporterNamed(EXPORTER, "\0"),
        ExporterNamed(EXPORTER, "\ud800"),
        InterfaceNamed(EXPORTER, 2**32, "x"),
        InterfaceNamed(EXPORTER, -1, "x"),
        InterfaceNamed(EXPORTER, 1, "x", 2**63),
        SettingRemoved("\0"),
    ],
    ids=str,
)
def test_what_no_central_could_keep_is_refused(event: SettingsEvent) -> None:
    with pytest.raises(SettingsEventError):
        decode(*encode_raw(event))


def encode_raw(event: SettingsEvent) -> tuple[bytes, bytes | None]:
    """As `encode`, with text that UTF-8 cannot hold in JSON's own way."""
    if not isinstance(event, ExporterNamed | InterfaceNamed):
        return encode(event)
    key, value = encode(replace(event, name="?"))
    assert value is not None
    return key, value.replace(b'"?"', json.dumps(event.name).encode())


def test_a_value_of_another_key_is_refused() -> None:
    _, value = encode(ExporterNamed(EXPORTER, "core"))
    with pytest.raises(SettingsEventError):
        decode(b"exporter/192.0.2.2", value)
