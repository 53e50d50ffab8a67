"""Example answers, for the API's description."""

from typing import Any, Final

Example = dict[str, Any]  # Any: JSON.

_SUMS: Final[Example] = {
    "flows": 1200,
    "bytes": 5_400_000,
    "packets": 9000,
    "bytes_scaled": 540_000_000,
    "packets_scaled": 900_000,
}
_OPEN: Final[Example] = {
    "00c0ffee00c0ffee": {
        "minutes_until": "2026-03-02T14:30:00.000Z",
        "hours_until": "2026-03-02T14:00:00.000Z",
    }
}
_COVERED: Final[Example] = {
    "from": "2026-03-02T13:31:00.000Z",
    "to": "2026-03-02T14:31:00.000Z",
    "source": "rollups",
    "notes": [],
}
_SEEN: Final[Example] = {
    "first_seen": "2026-03-02T13:31:00.000Z",
    "last_seen": "2026-03-02T14:30:59.800Z",
}

TOTALS: Final[Example] = {
    **_SUMS,
    "losses": {"template_missing": {"datagrams": 3, "flows": 0}},
    **_COVERED,
    "open_streams": _OPEN,
}
TOP: Final[Example] = {
    "rows": [{"src_addr": "192.0.2.7", **_SUMS}],
    **_COVERED,
    "open_streams": _OPEN,
}
TIMESERIES: Final[Example] = {
    "rows": [{"at": "2026-03-02T14:30:00.000Z", **_SUMS}],
    **_COVERED,
    "open_streams": _OPEN,
}
EXPORTERS: Final[Example] = {
    "rows": [
        {
            "exporter": "192.0.2.1",
            **_SUMS,
            "name": "core-1",
            "export_versions": [9],
            **_SEEN,
        }
    ],
    **_COVERED,
    "open_streams": _OPEN,
}
INTERFACES: Final[Example] = {
    "rows": [
        {
            "exporter": "192.0.2.1",
            "interface": 3,
            **{f"in_{name}": value for name, value in _SUMS.items()},
            **{f"out_{name}": value for name, value in _SUMS.items()},
            "name": "xe-0/0/1",
            "speed_bps": 10_000_000_000,
            **_SEEN,
        }
    ],
    **_COVERED,
    "open_streams": _OPEN,
}
FLOWS: Final[Example] = {
    "rows": [
        {
            "received_at": "2026-03-02T14:30:59.800Z",
            "stream": "00c0ffee00c0ffee",
            "datagram": 17,
            "exporter": "192.0.2.1",
            "src_addr": "198.51.100.4",
            "dst_addr": "203.0.113.9",
            "bytes": 1500,
            "packets": 1,
        }
    ],
    "next": "WzE3NzI0NjE4NTk4MDAsIDEsIDE3LCAxXQ==",
    **{**_COVERED, "source": "raw"},
}
LOSSES: Final[Example] = {
    "rows": [{"exporter": "192.0.2.1", "reason": "template_missing", "datagrams": 3, "flows": 0}],
    **{**_COVERED, "source": "raw"},
}
POSITIONS: Final[Example] = {
    "rows": [
        {
            "topic": "flows",
            "partition": 0,
            "topic_id": "0b1c7d0e-8a52-4f6e-9d0c-2f1f5f1c2a3b",
            "next_offset": 4711,
            "lag_records": 0,
        }
    ]
}
STREAMS: Final[Example] = {
    "rows": [
        {
            "stream": "00c0ffee00c0ffee",
            "worker": "collector-1/0",
            "partition": 0,
            "started_at": "2026-03-02T13:31:00.000Z",
            "last": 5120,
            "minutes_until": "2026-03-02T14:30:00.000Z",
            "hours_until": "2026-03-02T14:00:00.000Z",
            "newest_at": "2026-03-02T14:30:59.800Z",
            "appended_at": "2026-03-02T14:31:00.010Z",
            "open": True,
            "ended": False,
            "same_name_as": None,
        }
    ]
}
