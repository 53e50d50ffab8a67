"""The central's flow store; `FlowStore` is its one door."""

from services.central.store.errors import (
    NotArrow,
    QueryRefused,
    ReportsBusy,
    SchemaMismatch,
    StoreAway,
    StoreError,
)
from services.central.store.flow_store import FlowStore
from services.central.store.purposes import Limits
from services.central.store.rows import LossRow, QuarantineRow

__all__ = [
    "FlowStore",
    "Limits",
    "LossRow",
    "NotArrow",
    "QuarantineRow",
    "QueryRefused",
    "ReportsBusy",
    "SchemaMismatch",
    "StoreAway",
    "StoreError",
]
