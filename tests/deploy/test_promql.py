import pytest

from tests.deploy.promql import Named, NotPromQL, named


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("up", Named((("up", frozenset()),))),
        ('up{job=~"a.*", x!="}"} == 0', Named((("up", frozenset({"job", "x"})),))),
        (
            "sum by (a, b) (rate(x_total{c='d'}[$__rate_interval])) > 1e9 or vector(0)",
            Named((("x_total", frozenset({"c"})),), frozenset({"a", "b"})),
        ),
        (
            "histogram_quantile(0.95, sum(rate(x_bucket[5m])) by (le)) offset 10m",
            Named((("x_bucket", frozenset()),), frozenset({"le"})),
        ),
        (
            "3 < time() - a / on (i) group_left (j) b unless b offset 1h and bool",
            Named(
                (("a", frozenset()), ("b", frozenset()), ("b", frozenset())), frozenset({"i", "j"})
            ),
        ),
    ],
)
def test_metrics_and_labels_are_found(expression: str, found: Named) -> None:
    assert named(expression) == found


@pytest.mark.parametrize(
    "expression", ['{job="x"}', "sum(a", "a)", "a{b}", "a{b=c}", "a{b=", "a # b", "sum by (1) (a)"]
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(NotPromQL):
        named(expression)
