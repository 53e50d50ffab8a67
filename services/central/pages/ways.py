"""What in and out mean for what a page shows; pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Filters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Way:
    """One direction: what passes `filters`, less what passes `less`.

    meaning: a sentence for the user.
    """

    name: str
    filters: Filters
    less: Filters | None
    meaning: str


def ways(filters: Filters) -> tuple[Way, ...]:
    """Return in and out; one way alone, where in and out mean nothing.

    Of an interface: what it received and sent. Of a host: what was sent to it and by it. Of
    everything: what came in at some interface of an exporter, and what left by one.
    """
    if "interface" in filters:
        return _pair(filters, "interface", "in_if", "out_if", "the interface received", "it sent")
    if "host" in filters:
        return _pair(filters, "host", "dst_addr", "src_addr", "the host received", "it sent")
    if {"in_if", "out_if"} & set(filters):
        return (Way("Traffic", filters, None, "What the filters pass"),)
    return (
        Way("In", filters, {**filters, "in_if": ["0"]}, "Came in at an interface of an exporter"),
        Way("Out", filters, {**filters, "out_if": ["0"]}, "Left by an interface of an exporter"),
    )


def alone(filters: Filters) -> tuple[Way, ...]:
    """Return everything as one way."""
    return (Way("Traffic", filters, None, "What the filters pass"),)


def one_way(name: str, column: str) -> Callable[[Filters], dict[str, list[str]]]:
    """Return what turns the filter `name`, of either end, into one of `column` alone.

    Where the user filters that column already, `name` stays what it is: of either end.
    """

    def narrow(filters: Filters) -> dict[str, list[str]]:
        if column in filters:
            return {key: list(values) for key, values in filters.items()}
        found = {key: list(values) for key, values in filters.items() if key != name}
        return {**found, column: list(filters[name])}

    return narrow


def _pair(
    filters: Filters, name: str, inwards: str, outwards: str, received: str, sent: str
) -> tuple[Way, ...]:
    rest = {key: values for key, values in filters.items() if key != name}
    if inwards in rest or outwards in rest:
        return alone(filters)
    values = filters[name]
    return (
        Way("In", {**rest, inwards: values}, None, f"What {received}"),
        Way("Out", {**rest, outwards: values}, None, f"What {sent}"),
    )
