"""`/api/v1/proof`: whether the other centrals hold the same, and mending what does not."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.central.metadata.repairs import KEPT, REPAIRS_MAX
from services.central.proof.choosing import RepairRefused
from services.central.proof.part import ProofPart
from services.central.proof.view import (
    EXAMPLE,
    REPAIR_EXAMPLE,
    proof_view,
    repair_view,
)
from shared.digest_records import MINUTE, PERIOD_MS, Period

REPAIRS_SHOWN = 100
SINCE_MAX: Final = KEPT + REPAIRS_MAX
"""All that were kept, and as many that have not ended."""
NUMBER_MAX: Final = 2**31 - 1


class RepairWanted(BaseModel):
    """One minute of a stream; without both, all that differs."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"stream": "00c0ffee00c0ffee", "minute": "2026-03-02T14:30:00Z"}
        },
    )
    stream: str | None = Field(None, pattern=r"^[0-9a-f]{16}$", description="16 hex digits.")
    minute: AwareDatetime | None = Field(None, description="Any instant of the minute.")

    @model_validator(mode="after")
    def _both_or_none(self) -> "RepairWanted":
        if (self.stream is None) != (self.minute is None):
            raise ValueError("stream and minute go together")
        return self

    @property
    def period(self) -> Period | None:
        """The minute; None for all that differs."""
        if self.stream is None or self.minute is None:
            return None
        minute_ms = PERIOD_MS[MINUTE]
        starts_ms = int(self.minute.timestamp() * 1000) // minute_ms * minute_ms
        return Period(int(self.stream, 16), MINUTE, starts_ms)


def proof_router(part: ProofPart, authorized: Callable[[Request], Awaitable[None]]) -> APIRouter:
    """Return the routes. authorized: raises against who may change nothing."""
    router = APIRouter(prefix="/api/v1/proof", tags=["state"])

    @router.get(
        "",
        summary="How far this central is proven equal to the others, and what differs",
        description="`proven`: every closed minute until then is equal. `copy`: how far all here "
        "is what the primary holds, and how many differences hold that up. `differences`: the "
        "oldest 100; `wrong` names who is known to be wrong. `scrub`: how long a changed row goes "
        "unseen. `repairs`: the newest 100, or with `since` all from that number on.",
        responses={200: {"content": {"application/json": {"example": EXAMPLE}}}},
    )
    async def proof(
        since: Annotated[int | None, Query(ge=1, le=NUMBER_MAX, description="A repair's.")] = None,
    ) -> dict[str, Any]:  # Any: JSON.
        if since is None:
            repairs = await part.repairs.newest(REPAIRS_SHOWN)
        else:
            repairs = await part.repairs.newest(SINCE_MAX, since=since)
        return proof_view(
            part.ledger, part.copy(), part.scrubber.order, part.repairs.periods, repairs
        )

    @router.post(
        "/repair",
        summary="Mend one minute, or all that differs, on this central",
        description="Answers once it is noted; `GET /api/v1/proof` tells how it ended. 409 where "
        "there is nothing to mend here.",
        status_code=HTTPStatus.ACCEPTED,
        responses={202: {"content": {"application/json": {"example": {"rows": [REPAIR_EXAMPLE]}}}}},
    )
    async def repair(request: Request, body: RepairWanted) -> dict[str, Any]:  # Any: JSON.
        await authorized(request)
        try:
            noted = await part.request(body.period)
        except RepairRefused as refusal:
            raise HTTPException(HTTPStatus.CONFLICT, str(refusal)) from refusal
        return {"rows": [repair_view(each) for each in noted]}

    return router
