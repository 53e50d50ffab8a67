"""Options of the chart, and colours that anybody can tell apart."""

import re
from pathlib import Path

from services.central.pages import palette
from services.central.pages.charts import Line, Options, over_time

CSS = Path(palette.__file__).parent / "static" / "steadflow.css"


def _options(stacked: bool = False) -> Options:
    lines = [
        Line("In", [10, None], palette.IN),
        Line("Out", [4, 0], palette.OUT, below=True, href="?out_if=1"),
    ]
    return over_time(
        lines, [0, 60_000], step_s=60, unit="bit/s", stacked=stacked, from_ms=0, to_ms=120_000
    )


def test_out_is_drawn_below_in_and_what_is_unknown_is_left_open() -> None:
    inwards, outwards = _options()["series"]

    assert inwards["data"] == [[0, 10], [60_000, None]]
    assert outwards["data"] == [[0, -4], [60_000, 0]]
    assert "stack" not in inwards


def test_groups_stand_on_each_other() -> None:
    assert [each["stack"] for each in _options(stacked=True)["series"]] == ["all", "below"]


def test_the_script_learns_unit_step_and_where_clicks_lead() -> None:
    assert _options()["sf"] == {"unit": "bit/s", "step_ms": 60_000, "hrefs": [None, "?out_if=1"]}


def test_every_colour_has_a_tone_for_light_and_for_dark() -> None:
    names = [*palette.SERIES, palette.REST, palette.IN, palette.OUT, palette.TEXT, palette.GRID]
    light, dark = CSS.read_text().split(':root[data-theme="dark"]')[:2]

    for name in names:
        variable = name.removeprefix("var(").removesuffix(")")
        assert re.search(rf"{variable}: #[0-9a-f]{{6}};", light)
        assert re.search(rf"{variable}: #[0-9a-f]{{6}};", dark)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_on_its_ground_in_both_themes() -> None:
    """WCAG 2.1 asks 4.5 of text."""
    light, dark = CSS.read_text().split(':root[data-theme="dark"]')[:2]
    for sheet in (light, dark.split("}")[0]):
        tone = dict(re.findall(r"(--sf-[a-z0-9-]+): (#[0-9a-f]{6});", sheet))
        for text in ("ink", "ink-2", "link", "good", "warn", "bad"):
            for ground in ("panel", "ground"):
                assert _contrast(tone[f"--sf-{text}"], tone[f"--sf-{ground}"]) >= 4.5, (
                    text,
                    ground,
                )
        assert _contrast(tone["--sf-ink"], tone["--sf-bar"]) >= 7


def test_in_and_out_differ_in_more_than_hue() -> None:
    light, dark = CSS.read_text().split(':root[data-theme="dark"]')[:2]
    for sheet in (light, dark.split("}")[0]):
        tone = dict(re.findall(r"(--sf-[a-z0-9-]+): (#[0-9a-f]{6});", sheet))
        assert _contrast(tone["--sf-in"], tone["--sf-panel"]) >= 2.5
        assert _contrast(tone["--sf-out"], tone["--sf-panel"]) >= 2.5
