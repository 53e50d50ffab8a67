"""How far this machine is with being opened to others, by what its launcher says."""

from pathlib import Path
from typing import Final, NamedTuple

from shared.network import NetworkError, has_wish, read_network, read_standing


class Opening(NamedTuple):
    """How far this machine is with that.

    by_page: whether a page can ask for it. is_under_way: asked for and not there yet.
    """

    by_page: bool = False
    is_under_way: bool = False
    problem: str = ""


CLOSED: Final = Opening()


def opening_of(network_file: Path | None, url: str) -> Opening:
    """Return it; reads three small files. url: where others reach this central, empty if not."""
    if network_file is None:
        return CLOSED
    if has_wish(network_file):
        # What prevented an earlier one says nothing of it.
        return Opening(by_page=True, is_under_way=True)
    standing = read_standing(network_file)
    try:
        is_wanted = read_network(network_file) is not None
    except NetworkError as error:
        return Opening(by_page=True, problem=str(error))
    is_there = bool(url) and standing.is_open
    return Opening(True, is_wanted and not is_there and not standing.problem, standing.problem)
