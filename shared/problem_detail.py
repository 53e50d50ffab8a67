"""What a primary says when it says no."""

import httpx


def detail_of(answer: httpx.Response) -> str:
    """Return the sentence of a problem (RFC 9457); empty when the answer holds none."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
