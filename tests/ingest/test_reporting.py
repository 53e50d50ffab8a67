"""What a collector says of a worker, from what `/api/v1/status` shows."""

from typing import Any

from services.ingest.reporting import record_of
from shared.collectors import NO_EPOCH, CollectorRecord, decode_collector, encode_collector
from shared.roles.cluster import ClusterRoles

STATUS: dict[str, Any] = {  # Any: JSON
    "name": "collector-1",
    "udp": "127.0.0.1:2055",
    "reasons": {"receiver-1": "starting", "decoder-10": "starting"},
}


def worker(number: int, **changes: Any) -> dict[str, Any]:  # Any: JSON
    return {
        "worker": number,
        "key": f"collector-1/{number}",
        "spool_bytes": 4096,
        "unread_datagrams": 12,
        "last_received": {"stream": "00000000000000aa", "number": 100},
        "last_acknowledged": {"stream": "00000000000000aa", "number": 88},
        "decoder": {"lag_s": 0.4},
    } | changes


def said(about: dict[str, Any], roles: ClusterRoles | None = None) -> CollectorRecord:
    record = record_of(
        STATUS,
        about,
        rates={"flows": 5.5, "datagrams": None},
        roles=roles,
        version="0.1.0",
        at_ms=9,
        started_at_ms=2,
    )
    assert decode_collector(*encode_collector(record)) == record
    return record


def test_a_worker_at_work() -> None:
    primary = ClusterRoles(generation=1, epoch=7, primary="central-a")

    assert said(worker(0), primary) == CollectorRecord(
        worker="collector-1/0", collector="collector-1", version="0.1.0", at_ms=9, started_at_ms=2,
        flows_per_s=5.5, spool_bytes=4096, unread_datagrams=12, lag_s=0.4,
        stream="00000000000000aa", acknowledged=88, received=100, primary="central-a", epoch=7,
        udp="127.0.0.1:2055", ready=True,
    )  # fmt: skip


def test_each_worker_has_its_own_reasons() -> None:
    assert said(worker(0)).reasons == {}
    assert said(worker(1)).reasons == {"receiver-1": "starting"}
    assert not said(worker(1)).ready


def test_of_an_earlier_stream_nothing_is_acknowledged_of_this_one() -> None:
    behind = {"stream": "00000000000000bb", "number": 7}

    assert said(worker(0, last_acknowledged=behind)).acknowledged == 0


def test_a_worker_that_said_nothing_yet() -> None:
    nothing = {"stream": None, "number": None}

    record = said(
        worker(
            0, unread_datagrams=None, last_received=nothing, last_acknowledged=nothing, decoder={}
        )
    )

    assert (record.stream, record.received, record.acknowledged) == ("", 0, 0)
    assert (record.lag_s, record.unread_datagrams) == (None, None)
    assert (record.primary, record.epoch) == ("", NO_EPOCH)
