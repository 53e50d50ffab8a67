from prometheus_client import CollectorRegistry

from shared.health import Health
from shared.health_metrics import HealthCollector


def test_readiness_is_a_gauge_and_each_condition_another() -> None:
    now_s = [10.0]
    health = Health("kafka", "store", clock=lambda: now_s[0])
    health.turned("apply")
    now_s[0] = 14.0
    registry = CollectorRegistry()
    registry.register(HealthCollector("test", health))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"test_{name}", labels)

    health.met("store")
    assert value("ready") == 0
    assert value("condition_met", condition="kafka") == 0
    assert value("condition_met", condition="store") == 1
    assert value("loop_age_seconds", loop="apply") == 4.0

    health.met("kafka")
    assert value("ready") == 1
