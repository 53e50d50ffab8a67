"""Who may change something."""

import pytest

from shared.guard import objection

TOKEN = "right"
GOOD = {"host": "registry:8090", "authorization": "Bearer right"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"authorization": "bearer  right "},
        {"origin": "http://registry:8090"},
        {"origin": "https://REGISTRY:8090"},
    ],
)
def test_with_the_token_and_from_the_own_origin_it_may(more: dict[str, str]) -> None:
    assert objection(GOOD | more, TOKEN, service="registry") == ""


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"authorization": ""}, "Bearer TOKEN"),
        ({"authorization": "Bearer wrong"}, "Bearer TOKEN"),
        ({"authorization": "Basic right"}, "Bearer TOKEN"),
        ({"authorization": "Bearer rígh"}, "Bearer TOKEN"),
        ({"origin": "http://evil.example"}, "http://evil.example"),
        ({"origin": "http://registry:8091"}, "http://registry:8091"),
        ({"origin": "null"}, "null"),
        ({"origin": ""}, "page"),
        ({"origin": "http://[broken"}, "page"),
    ],
)
def test_without_the_token_or_from_another_origin_it_may_not(
    more: dict[str, str], why: str
) -> None:
    assert why in objection(GOOD | more, TOKEN, service="registry")


def test_without_a_token_file_nobody_may() -> None:
    assert "token file" in objection(GOOD, None, service="registry")
