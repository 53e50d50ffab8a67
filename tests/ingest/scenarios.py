"""The captures that live beside the checkout, and what they decode to."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.ingest.decode.decoding import Decoded, DecoderState, Limits, RangeBuilder
from shared.pcap import Capture

REPOSITORY = Path(__file__).parents[2]
CAPTURES = Path(os.environ.get("STEADFLOW_SHARED", REPOSITORY.parent / "shared")) / "captures"

needs_captures = pytest.mark.skipif(
    not (CAPTURES / "scenarios").is_dir(),
    reason=f"no captures at {CAPTURES}: set STEADFLOW_SHARED to the folder that holds them",
)


def scenario_names(folder: str) -> list[str]:
    """Names of the scenarios that `folder` (nfdump or expected) has an answer for."""
    return sorted(path.stem for path in (CAPTURES / folder).glob("*.json"))


def answer(folder: str, name: str) -> dict[str, Any]:
    """Return what another decoder says about a scenario."""
    found: dict[str, Any] = json.loads((CAPTURES / folder / f"{name}.json").read_text())
    return found


def decode(name: str, *, limits: Limits | None = None, first_message: bool = False) -> Decoded:
    """Decode a scenario; first_message cuts every IPFIX datagram after its first message."""
    builder = RangeBuilder(DecoderState(limits), collector="lab/0", stream=1)
    with (CAPTURES / "scenarios" / f"{name}.pcap").open("rb") as stream:
        for number, datagram in enumerate(Capture(stream), 1):
            payload = datagram.payload
            if first_message and payload[:2] == b"\0\x0a":
                payload = payload[: int.from_bytes(payload[2:4], "big")]
            builder.add(number, datagram.time_ms, datagram.source, datagram.source_port, payload)
    return builder.finish(wire_order=True)


def rows(decoded: Decoded) -> list[dict[str, Any]]:
    """Return the rows as dicts; what no record has is not in them."""
    return decoded.batch.to_pylist() if decoded.batch is not None else []
