"""For whom somebody asks who has the cluster's token: a header, believed beside that token alone.

`Steadflow-By: KIND NAME [ADDRESS]`: a central says so of who asked it, a command of who ran it.
"""

from typing import Final, NamedTuple

from shared.audit import plain_text

BY: Final = "Steadflow-By"
FORWARDED: Final = "Steadflow-Forwarded"
"""A central passes this request on, and keeps the record of it."""


class Behalf(NamedTuple):
    """kind: `account`, `token` or `system`. address: empty where it is that of the request."""

    kind: str
    name: str
    address: str = ""


def write_behalf(behalf: Behalf) -> str:
    """Return the header's value."""
    name = behalf.name.replace(" ", "_") or "-"
    # A header is ASCII; a token may be called anything.
    text = f"{behalf.kind} {name} {behalf.address}".strip()
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text)


def read_behalf(text: str) -> Behalf | None:
    """Return what a header says; None where it says nothing that can be used."""
    kind, _, rest = text.partition(" ")
    name, _, address = rest.partition(" ")
    if kind not in ("account", "token", "system") or not name:
        return None
    return Behalf(kind, plain_text(name), plain_text(address.strip()))


def address_in(text: str) -> str:
    """Return from where the one asks that a header tells of, whoever it is; empty where unknown."""
    return plain_text(" ".join(text.split(" ")[2:]).strip())
