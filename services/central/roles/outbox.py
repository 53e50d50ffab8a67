"""Topic `outbox`: every effect of a primary, and what a reader makes of it; pure.

Keys come from the content, so that the next primary knows what is already there. A record of an
epoch lower than one before it is refused: the fence kept it out of the log, but a reader must not
lean on that alone.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Final, NamedTuple

from shared.roles.records import NAME_CHARACTERS

KEYS_KEPT: Final = 1_000
TEXT_CHARACTERS: Final = 2_000

Order = tuple[int, int]
"""Generation of the log, and epoch."""


class OutboxError(ValueError):
    """A record on `outbox` that this release cannot read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """generation, epoch: of the primary. decided_ms: when it decided, UTC; it may commit later."""

    generation: int
    epoch: int
    decided_ms: int

    @property
    def order(self) -> Order:
        """Whose effect it is; a later primary's is higher."""
        return self.generation, self.epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive(Effect):
    """The primary can commit, though nothing else was owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Effect):
    """Something people are to be told, once. key: what it is about; text: a sentence."""

    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Effect):
    """The notice `key` has left the house."""

    key: str


Item = Alive | Notice | Delivered
_KINDS: Final[dict[str, type[Item]]] = {"alive": Alive, "notice": Notice, "delivered": Delivered}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


class OutboxState(NamedTuple):
    """What stands in the outbox. waiting: notices not delivered yet, oldest first.

    known: keys of notices, the newest last. refused: items of an epoch that was over.
    """

    order: Order = (-1, -1)
    waiting: Mapping[str, Notice] = {}  # never changed in place
    known: tuple[str, ...] = ()
    refused: int = 0


def evolve(state: OutboxState, item: Item) -> OutboxState:
    """Fold one item in the order of the log."""
    if item.order < state.order:
        return state._replace(refused=state.refused + 1)
    state = state._replace(order=item.order)
    match item:
        case Notice():
            if item.key in state.known:
                return state
            known = (*state.known, item.key)[-KEYS_KEPT:]
            return state._replace(known=known, waiting={**state.waiting, item.key: item})
        case Delivered():
            waiting = {key: one for key, one in state.waiting.items() if key != item.key}
            return state._replace(waiting=waiting)
        case _:
            return state


def key_of(item: Item) -> bytes:
    """Return the key of the item's message."""
    match item:
        case Notice():
            return f"notice/{item.key}".encode()
        case Delivered():
            return f"delivered/{item.key}".encode()
        case _:
            return b"alive"


def encode_item(item: Item) -> bytes:
    """Return the value of the item's message."""
    content = {"is": _NAMES[type(item)]} | asdict(item)
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def decode_item(value: bytes | None) -> Item:
    """Read the value of a message; unknown fields are left out. Raises OutboxError."""
    try:
        content = json.loads(value or b"")
        kind = _KINDS[content.pop("is")]
        known = {field.name for field in fields(kind)}
        item = kind(**{name: one for name, one in content.items() if name in known})
        numbers = (item.generation, item.epoch, item.decided_ms)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise OutboxError(f"no item of the outbox: {error!r}"[:200]) from error
    if any(type(number) is not int for number in numbers):
        raise OutboxError("an item without its epoch")
    if isinstance(item, Notice | Delivered) and not _is_text(item.key, NAME_CHARACTERS):
        raise OutboxError("an item without its key")
    if isinstance(item, Notice) and not _is_text(item.text, TEXT_CHARACTERS):
        raise OutboxError("a notice without text")
    return item


def _is_text(text: object, characters: int) -> bool:
    return isinstance(text, str) and 0 < len(text) <= characters
