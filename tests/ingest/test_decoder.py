"""The decoder's process: what it says when it cannot start."""

from pathlib import Path

import pytest

from services.ingest.config import IngestConfig
from services.ingest.decode.decoding import DecoderState, RangeBuilder
from services.ingest.publish.decoder import limits_of, main
from services.ingest.spool.writer import DECODER_LOCK, hold
from tests.ingest.spools import EXPORTERS, NOON_MS, v9_flows, v9_template


def test_a_spool_that_another_decoder_holds_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEADFLOW_INGEST_SPOOL_DIR", str(tmp_path))
    hold(tmp_path / "0", DECODER_LOCK)

    assert main(["--worker", "0"]) == 1

    assert "decoder.lock" in capsys.readouterr().err


def test_an_unknown_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEADFLOW_INGEST_SPOOL_DIRR", "/nowhere")

    assert main(["--worker", "0"]) == 2

    assert "SPOOL_DIRR" in capsys.readouterr().err


def test_settings_bound_what_the_decoder_keeps() -> None:
    limits = limits_of(
        IngestConfig(waiting_bytes_max=1_000, waiting_timeout_s=5, template_timeout_s=60)
    )

    assert (limits.waiting_bytes, limits.waiting_ms) == (1_000, 5_000)
    assert limits.template_lifetime_ms == 60_000
    # Use is noted often enough to keep a template.
    assert limits.template_touch_ms == 15_000
    assert limits_of(IngestConfig()).template_touch_ms == 3_600_000


@pytest.mark.parametrize("timeout_s", [60, 1_800, 3_600, 86_400])
def test_a_template_in_use_is_not_forgotten(timeout_s: int) -> None:
    limits = limits_of(IngestConfig(template_timeout_s=timeout_s))
    builder = RangeBuilder(DecoderState(limits), collector="test/0", stream=7)
    rows = 0
    for number, at_s in enumerate(range(0, 3 * timeout_s, timeout_s // 6), 1):
        payload = v9_template() if number == 1 else v9_flows(1)
        builder.add(number, NOON_MS + at_s * 1_000, EXPORTERS[0], 2055, payload)
        rows += number > 1

    decoded = builder.finish()

    assert (decoded.rows, decoded.losses) == (rows, ())
