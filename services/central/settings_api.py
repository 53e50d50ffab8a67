"""Settings over HTTP. A change answers when it was read back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.central.answers import Json
from services.central.filters import ReportError
from services.central.metadata.settings_tables import SettingsTables
from services.central.settings import SettingsLog
from shared.addresses import format_address, pack_address
from shared.settings_events import (
    RETENTION_KEY,
    ExporterNamed,
    InterfaceNamed,
    RetentionSet,
    SettingRemoved,
    exporter_key,
    interface_key,
)

Check = Callable[[Request], Awaitable[None]]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Retention(BaseModel):
    """Whole days each level is kept. Raw rows stay longer than the log's 72 hours."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"raw_days": 7, "minute_days": 30, "hour_days": 730}},
    )
    raw_days: int = Field(ge=4, le=3650)
    minute_days: int = Field(ge=4, le=3650)
    hour_days: int = Field(ge=4, le=36_500)

    @model_validator(mode="after")
    def _levels_last_longer(self) -> "Retention":
        if not self.raw_days <= self.minute_days <= self.hour_days:
            raise ValueError("raw_days <= minute_days <= hour_days must hold")
        return self


class ExporterName(BaseModel):
    """The name of an exporter."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "core-1"}})
    name: Name


class InterfaceName(BaseModel):
    """Name and speed of an interface."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"name": "xe-0/0/1", "speed_bps": 10_000_000_000}},
    )
    name: Name
    speed_bps: int = Field(0, ge=0, le=10**15, description="Bits per second; 0 unknown.")


def settings_router(
    tables: SettingsTables,
    settings: SettingsLog,
    *,
    retention: Callable[[], RetentionSet],
    before_change: Sequence[Check],
) -> APIRouter:
    """Return the settings. retention: what holds now; before_change: what raises against one."""
    router = APIRouter(prefix="/api/v1/settings", tags=["settings"])
    change = [Depends(check) for check in before_change]

    @router.get("", summary="All settings as they hold here")
    async def everything() -> Json:
        return {
            "retention": _retention(retention()),
            "exporters": [
                {"exporter": format_address(each.exporter), "name": each.name}
                for each in await asyncio.to_thread(tables.exporters)
            ],
            "interfaces": [
                {
                    "exporter": format_address(each.exporter),
                    "if_index": each.if_index,
                    "name": each.name,
                    "speed_bps": each.speed_bps or None,
                }
                for each in await asyncio.to_thread(tables.interfaces)
            ],
        }

    @router.get("/retention", summary="How long each level is kept")
    async def read_retention() -> Json:
        return _retention(retention())

    @router.put("/retention", summary="Set how long each level is kept", dependencies=change)
    async def set_retention(body: Retention) -> Json:
        await settings.change(RetentionSet(body.raw_days, body.minute_days, body.hour_days))
        return body.model_dump()

    @router.delete("/retention", summary="Back to the configured days", dependencies=change)
    async def unset_retention() -> Json:
        await settings.change(SettingRemoved(RETENTION_KEY))
        return _retention(retention())

    @router.put("/exporters/{exporter}", summary="Name an exporter", dependencies=change)
    async def name_exporter(exporter: str, body: ExporterName) -> Json:
        await settings.change(ExporterNamed(_address(exporter), body.name))
        return {"exporter": format_address(_address(exporter)), "name": body.name}

    @router.delete("/exporters/{exporter}", summary="Forget a name", dependencies=change)
    async def unname_exporter(exporter: str) -> Json:
        await settings.change(SettingRemoved(exporter_key(_address(exporter))))
        return {"exporter": format_address(_address(exporter)), "name": None}

    @router.put(
        "/interfaces/{exporter}/{if_index}", summary="Name an interface", dependencies=change
    )
    async def name_interface(exporter: str, if_index: str, body: InterfaceName) -> Json:
        address, index = _address(exporter), _if_index(if_index)
        await settings.change(InterfaceNamed(address, index, body.name, body.speed_bps))
        return {"exporter": format_address(address), "if_index": index, **body.model_dump()}

    @router.delete(
        "/interfaces/{exporter}/{if_index}", summary="Forget a name", dependencies=change
    )
    async def unname_interface(exporter: str, if_index: str) -> Json:
        address, index = _address(exporter), _if_index(if_index)
        await settings.change(SettingRemoved(interface_key(address, index)))
        return {"exporter": format_address(address), "if_index": index, "name": None}

    return router


def _retention(days: RetentionSet) -> dict[str, Any]:  # Any: JSON.
    return {
        "raw_days": days.raw_days,
        "minute_days": days.minute_days,
        "hour_days": days.hour_days,
    }


def _address(text: str) -> bytes:
    try:
        return pack_address(text)
    except ValueError as error:
        raise ReportError("exporter", f"{text[:60]!r} is no address") from error


def _if_index(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 1 << 32):
        raise ReportError("if_index", f"{text[:40]!r} is no number from 0 to {(1 << 32) - 1}")
    return int(text)
