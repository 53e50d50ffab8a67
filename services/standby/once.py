"""`python -m services.standby.once`: the checks of this machine, once, printed as JSON.

On a machine that joined they are made with its certificate; on another one with the token of an
invite, which is not used up.
"""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from services.standby import measuring
from services.standby.back import Back, judged
from services.standby.config import StandbyConfig
from services.standby.copy_time import line_of
from services.standby.given import NotGiven
from services.standby.joining import lines_to_json
from services.standby.preflight import Line, Measured, Primary, name_line, preflight
from services.standby.primary_client import PrimaryAway
from services.standby.steps import Steps
from shared.config import ConfigError, load
from shared.invite_token import InviteToken, InviteTokenError, parse_token
from shared.own_address import is_here
from shared.problem_detail import detail_of
from shared.register import Address, parse_primary
from shared.this_machine import this_machine
from shared.tls import TlsError, pinned_context
from shared.token import TokenError

TIMEOUT_S = 60.0


class NotChecked(Exception):
    """The checks could not be made; the text is one sentence."""


async def look(config: StandbyConfig) -> list[Line]:
    """Return the lines. Raises NotChecked."""
    try:
        primary = parse_primary(config.primary)
        if (config.home / "given.json").exists():
            return list((await Steps(config, primary, _now_ms).check()).lines)
        if config.invite_file is None:
            raise NotChecked("this machine did not join: give the primary, and --token")
        return await _preview(config, primary, parse_token(config.invite_file.read_text()))
    except (ValueError, OSError) as error:
        raise NotChecked(str(error)) from error
    except (PrimaryAway, NotGiven, TlsError, TokenError) as error:
        raise NotChecked(str(error)) from error


async def _preview(config: StandbyConfig, primary: Address, token: InviteToken) -> list[Line]:
    body = {"token": str(token), "name": config.name, "ports": [config.https_port]}
    # The primary knows whether a broker will run here.
    query: dict[str, str | list[int]] = {"host": config.host, "broker_port": config.broker_ports}
    with measuring.answering([config.https_port, *config.broker_ports]):
        sent_ms = time.time_ns() / 1e6
        content = await asyncio.to_thread(_ask, primary, token, body, query)
        got_ms = time.time_ns() / 1e6
    brokers = str(content["brokers"])
    places = [(primary.host, primary.port), *(measuring.host_ports(brokers) if brokers else [])]
    reached = [await measuring.reach(host, port) for host, port in places]
    said = Primary.from_json(content)
    seen = judged(Back.from_json(content), config.host, is_here)
    offset_ms = (sent_ms + got_ms) / 2 - said.machine.now_ms
    age_ms = content["tick_age_ms"]
    place = _existing(config.home)
    measured = Measured(
        clock_offset_ms=offset_ms,
        # Kafka asks for a certificate; the primary's reading of its ticks is right within one.
        kafka_offset_ms=None if age_ms is None else offset_ms + float(age_ms),
        round_trip_ms=min(
            (each.round_trip_ms for each in reached[1:] if each.round_trip_ms is not None),
            default=None,
        ),
        is_kafka_asked=False,
        inserts_per_s=await _inserts_per_s(place),
        unreachable=[each.problem for each in reached if each.problem],
        unreachable_back=seen.unreachable,
        untried_back=seen.untried,
        kept_days=await measuring.kept_days(),
    )
    here = this_machine(place, now_ms=_now_ms())
    return [
        name_line(config.name, str(content.get("name_taken", ""))),
        *preflight(here, said, measured),
        line_of(said.store_bytes, config.copy_bytes_per_s),
    ]


def _ask(
    primary: Address,
    token: InviteToken,
    body: Mapping[str, Any],
    query: Mapping[str, str | list[int]],
) -> dict[str, Any]:  # JSON
    context = pinned_context(primary.host, primary.port, token.fingerprint)
    try:
        with httpx.Client(verify=context, timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.post(f"{primary.url}/api/v1/join/preview", json=body, params=query)
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise NotChecked(f"the primary did not answer: {said}") from error
    if not answer.is_success:
        raise NotChecked(f"the primary says: {detail_of(answer) or f'status {answer.status_code}'}")
    content: dict[str, Any] = answer.json()
    return content


async def _inserts_per_s(place: Path) -> float | None:
    folder = Path(tempfile.mkdtemp(prefix="steadflow-check-", dir=place))
    try:
        return await measuring.inserts_per_s(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _existing(path: Path) -> Path:
    there = path.absolute()
    while not there.is_dir():
        there = there.parent
    return there


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> int:
    """Print `lines`, or the `problem` that prevents them; the exit code."""
    try:
        config = load(StandbyConfig)
        lines = asyncio.run(look(config))
    except (ConfigError, NotChecked, InviteTokenError) as error:
        sys.stdout.write(json.dumps({"problem": str(error)}) + "\n")
        return 1
    sys.stdout.write(json.dumps({"lines": lines_to_json(lines)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
