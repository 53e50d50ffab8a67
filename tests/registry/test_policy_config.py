"""A registry's own policy settings, and the log's."""

from services.registry.config import RegistryConfig
from services.registry.policy_config import differences, first_config
from shared.roles.records import Config, decode_record, encode_record


def test_the_defaults_are_the_ones_of_the_record() -> None:
    config = RegistryConfig()

    assert first_config(config, generation=3) == Config(generation=3, by="registry-1")
    assert list(differences(config, Config(generation=9, is_paused=True))) == []


def test_the_outermost_settings_can_be_written_and_read() -> None:
    least = RegistryConfig(period_ms=50, dead_ticks=4, hold_down_s=0, maximum_lag_s=0)
    most = RegistryConfig(period_ms=60_000, dead_ticks=10, hold_down_s=86_400, maximum_lag_s=86_400)
    for config in (least, most):
        record = first_config(config, generation=1)
        assert decode_record(encode_record(record)) == record


def test_a_setting_that_is_another_one_is_named() -> None:
    config = RegistryConfig(period_ms=500, maximum_lag_s=2.5)

    assert list(differences(config, Config())) == [
        "setting period_ms is 500 here and 400 in the log, which holds",
        "setting maximum_lag_s is 2.5 here and 30 in the log, which holds",
    ]
