from bench.figures import moved, of_tool, ratios
from bench.tool import Round


def a_round(taken: int, cpu_s: float) -> Round:
    return Round(sent=1_000, taken=taken, bytes=20_000, cpu_s={"one": cpu_s}, flows_per_s=500.0)


def test_median_and_spread_come_from_the_rounds_and_loss_from_their_sums() -> None:
    found = of_tool([a_round(1_000, 0.5), a_round(900, 0.3), a_round(1_000, 0.2)])

    assert found["flows_per_cpu_s"] == [3000, 2000, 5000]
    assert (found["sent_flows"], found["received_flows"]) == (3_000, 2_900)
    assert found["lost_percent"] == 3.33
    assert found["bytes_per_flow"] == 20.7


def test_ratios_are_between_medians() -> None:
    tools = {"steadflow": {"flows_per_cpu_s": [900]}, "goflow2": {"flows_per_cpu_s": [90]}}

    assert ratios({"v5": tools}) == {"v5": {"over_goflow2": 10.0}}


def test_only_what_moved_beyond_noise_is_said_and_only_of_one_mode() -> None:
    before = {"mode": "full", "a": {"flows_per_cpu_s": [100, 1, 1]}, "b": {"bytes_per_flow": 20.0}}
    after = {"mode": "full", "a": {"flows_per_cpu_s": [150, 1, 1]}, "b": {"bytes_per_flow": 20.5}}

    assert moved(before, after) == ["a/flows_per_cpu_s: 100.0 -> 150.0 (+50%)"]
    assert moved(before, before) == []
    assert moved(before, after | {"mode": "quick"}) == []
