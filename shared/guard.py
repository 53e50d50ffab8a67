"""Who may change something over HTTP: whoever shows the token, and no page of another origin."""

from collections.abc import Mapping

from shared.token import same_token


def objection(headers: Mapping[str, str], token: str | None, *, service: str) -> str:
    """Return why a request may not change anything; empty when it may.

    headers: by names in lower case. token: None refuses every change. service: what answers.
    A page of another origin must not use a browser that knows the token: its Origin is refused.
    """
    origin = headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != headers.get("host", "").lower():
        return f"a change from a page of {origin[:100]} is refused"
    if token is None:
        return f"this {service} was started without a token file: nothing can be changed"
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not same_token(token, given.strip()):
        return "a change needs the header `Authorization: Bearer TOKEN`"
    return ""
