"""How the primary sees this machine: by the ports that it tried, and the name it knows; pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from shared.addresses import is_loopback, plain_address


class Back(NamedTuple):
    """What the primary answers. problems: what it does not reach, in sentences.

    asked_from: our address as it sees it. addresses: those that our name has there, None where a
    primary of a release before says nothing of it. is_tried: whether it connected to one of them,
    which it does only where they are surely ours.
    """

    problems: tuple[str, ...] = ()
    asked_from: str = ""
    addresses: tuple[str, ...] | None = None
    is_tried: bool = False

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:  # Any: JSON
        """Return it from an answer. Raises TypeError, ValueError, KeyError, AttributeError."""
        problems = tuple(map(str, content.get("problems", ())))
        host = content.get("host")
        if host is None:
            return cls(problems, str(content.get("from", "")))
        addresses = tuple(map(str, host["addresses"]))
        return cls(problems, str(content["from"]), addresses, bool(host["is_tried"]))


class Judged(NamedTuple):
    """Sentences on what does not lead here from the primary, and on what it could not try."""

    unreachable: Sequence[str]
    untried: Sequence[str] = ()


def judged(back: Back, host: str, is_here: Callable[[str], bool]) -> Judged:
    """Return what is wrong. host: under which this machine will be known; is_here: as it says."""
    if back.addresses is None or back.is_tried:
        return Judged(back.problems)
    if not back.addresses:
        return Judged((*back.problems, f"the name {host} is not known on the primary"))
    known = ", ".join(back.addresses)
    is_literal = plain_address(host) in back.addresses
    asks = f"this machine asks from {back.asked_from}"
    # Another of our addresses, or one that somebody between the two translates.
    if any(not is_loopback(each) and (is_literal or is_here(each)) for each in back.addresses):
        address = "" if is_literal else f" at {known}"
        return Judged(
            back.problems, (f"{host}{address} could not be tried from the primary: {asks}",)
        )
    return Judged((*back.problems, f"the primary knows {host} as {known}, {asks}"))
