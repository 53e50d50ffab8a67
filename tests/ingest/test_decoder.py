"""The decoder's process: what it says when it cannot start."""

from pathlib import Path

import pytest

from services.ingest.config import IngestConfig
from services.ingest.publish.decoder import limits_of, main
from services.ingest.spool.writer import DECODER_LOCK, hold


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
