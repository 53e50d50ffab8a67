"""This registry's policy settings as the `Config` record of an empty log, and against it; pure."""

from collections.abc import Iterator
from typing import Protocol

from shared.roles.records import Config

_NAMES = ("period_ms", "dead_ticks", "hold_down_s", "maximum_lag_s")


class PolicySettings(Protocol):
    """A registry's settings, as far as they are policy."""

    @property
    def name(self) -> str:
        """Of the registry."""
        ...

    @property
    def period_ms(self) -> int:
        """Between ticks."""
        ...

    @property
    def dead_ticks(self) -> int:
        """Unacknowledged valid ticks of a dead holder."""
        ...

    @property
    def hold_down_s(self) -> float:
        """A living holder is not replaced so shortly after it took over."""
        ...

    @property
    def maximum_lag_s(self) -> float:
        """Of a candidate."""
        ...


def first_config(config: PolicySettings, *, generation: int) -> Config:
    """Return the first record of a log. generation: higher than that of any log before it."""
    return Config(
        period_ms=config.period_ms,
        dead_ticks=config.dead_ticks,
        hold_down_s=config.hold_down_s,
        maximum_lag_s=config.maximum_lag_s,
        generation=generation,
        by=config.name,
    )


def differences(config: PolicySettings, held: Config) -> Iterator[str]:
    """Yield which settings are other ones than the log's, a sentence each."""
    for name in _NAMES:
        here, there = getattr(config, name), getattr(held, name)
        if here != there:
            yield f"setting {name} is {here:g} here and {there:g} in the log, which holds"
