"""Errors as `application/problem+json` (RFC 9457): the one mapping from our exceptions."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from services.central.filters import ReportError
from services.central.roles.role import NotPrimary
from services.central.settings import SettingsAway
from services.central.store.errors import QueryRefused, ReportsBusy, StoreAway

MEDIA_TYPE = "application/problem+json"


class Forbidden(Exception):
    """A change by somebody who is not known; the text is one sentence."""


class NotNow(Exception):
    """The cluster is in no state for what was asked; the text is one sentence."""


def problem(
    status: HTTPStatus, detail: str, *, parameter: str | None = None, **headers: str
) -> JSONResponse:
    """Return a problem; `parameter` is the one to change."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if parameter is not None:
        body["parameter"] = parameter
    return JSONResponse(body, status.value, media_type=MEDIA_TYPE, headers=headers)


def add_problems(app: FastAPI) -> None:
    """Have `app` answer every error of ours as a problem."""

    def add(kind: type[Exception], answer: Callable[[Exception], JSONResponse]) -> None:
        async def handle(_request: Request, error: Exception) -> JSONResponse:
            return answer(error)

        handler: Callable[[Request, Exception], Awaitable[JSONResponse]] = handle
        app.add_exception_handler(kind, handler)

    add(ReportError, _report_error)
    add(RequestValidationError, _body_error)
    add(HTTPException, _http_error)
    add(Forbidden, lambda e: problem(HTTPStatus.UNAUTHORIZED, str(e), **_CHALLENGE))
    add(NotNow, lambda e: problem(HTTPStatus.CONFLICT, str(e)))
    add(QueryRefused, lambda e: problem(HTTPStatus.UNPROCESSABLE_ENTITY, _first_line(e)))
    busy = HTTPStatus.SERVICE_UNAVAILABLE
    add(ReportsBusy, lambda e: problem(busy, str(e), **_LATER))
    add(StoreAway, lambda e: problem(busy, f"the store is away: {_first_line(e)}", **_LATER))
    add(OperationalError, lambda e: problem(busy, "the metadata database is away", **_LATER))
    add(NotPrimary, lambda e: problem(busy, str(e), **_LATER))
    add(SettingsAway, lambda e: problem(busy, f"the change is not known to hold: {e}", **_LATER))


_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_LATER = {"Retry-After": "5"}


def _report_error(error: Exception) -> JSONResponse:
    assert isinstance(error, ReportError)
    return problem(HTTPStatus.BAD_REQUEST, str(error), parameter=error.parameter)


def _body_error(error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "path", "query")]
    name = ".".join(where) or "body"
    return problem(HTTPStatus.BAD_REQUEST, f"{name}: {first['msg']}", parameter=name)


def _http_error(error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(HTTPStatus(error.status_code), str(error.detail), **dict(error.headers or {}))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
