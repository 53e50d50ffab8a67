"""What the flow store can fail with."""

from collections.abc import Sequence


class StoreError(Exception):
    """Any failure of the flow store.

    StoreError
     +-- StoreAway         the engine cannot be reached or cannot write now; try again later
     +-- SchemaMismatch    columns this release or this table does not know; stop, upgrade
     +-- NotArrow          bytes that are no Arrow stream; quarantine them
     +-- QueryRefused      a report beyond its limits of time or memory, or an unknown column
     +-- ReportsBusy       all report clients are taken
    """


class StoreAway(StoreError):
    """The engine is unreachable, out of disk or out of memory: the same call may work later."""


class NotArrow(StoreError):
    """The bytes are not one readable Arrow stream."""


class SchemaMismatch(StoreError):
    """Columns that would be dropped in silence.

    columns: `name: type` of each column that the release or the table does not have.
    """

    def __init__(self, columns: Sequence[str], *, where: str) -> None:
        """Name `columns` and `where` they are missing."""
        self.columns = tuple(columns)
        self.where = where
        super().__init__(
            f"{where} does not know {', '.join(self.columns)}: "
            "upgrade this central before the collectors"
        )


class QueryRefused(StoreError):
    """A report beyond its limit of time or memory, or one the engine cannot run."""


class ReportsBusy(StoreError):
    """Every report client is taken and none came free in time."""
