"""Errors as `application/problem+json` (RFC 9457): the one mapping from our exceptions."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.registry.failover import Refused
from shared.kafka import KafkaAway

MEDIA_TYPE = "application/problem+json"


class NotNow(Exception):
    """This registry can decide nothing now; the text is one sentence."""


class TooLate(Exception):
    """What was asked for did not come about in time; it still may."""


def problem(status: HTTPStatus, detail: str, **headers: str) -> JSONResponse:
    """Return a problem."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail[:500],
    }
    return JSONResponse(body, status.value, media_type=MEDIA_TYPE, headers=headers)


def add_problems(app: FastAPI) -> None:
    """Have `app` answer every error of ours as a problem."""

    def add(kind: type[Exception], answer: Callable[[Exception], JSONResponse]) -> None:
        async def handle(_request: Request, error: Exception) -> JSONResponse:
            return answer(error)

        handler: Callable[[Request, Exception], Awaitable[JSONResponse]] = handle
        app.add_exception_handler(kind, handler)

    away = HTTPStatus.SERVICE_UNAVAILABLE
    add(RequestValidationError, _request_error)
    add(HTTPException, _http_error)
    add(Refused, lambda e: problem(HTTPStatus.PRECONDITION_FAILED, str(e)))
    add(NotNow, lambda e: problem(away, str(e), **_LATER))
    add(KafkaAway, lambda e: problem(away, f"Kafka is away: {e}", **_LATER))
    add(TooLate, lambda e: problem(HTTPStatus.GATEWAY_TIMEOUT, str(e)))


_LATER = {"Retry-After": "5"}


def _request_error(error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "path", "query")]
    return problem(HTTPStatus.BAD_REQUEST, f"{'.'.join(where) or 'body'}: {first['msg']}")


def _http_error(error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(HTTPStatus(error.status_code), str(error.detail), **dict(error.headers or {}))
