"""Groups of commands whose files are imported when one of them is asked for.

A command that asks a central for one number shall not wait for what starts a broker.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command


class _Commands(Mapping[str, Any]):  # click's commands, which typer brings along without a name
    """Commands by name, made when they are looked up.

    rooms: where each is, as `module:attribute`; a function, or a group of typer's.
    """

    def __init__(self, rooms: Mapping[str, str]) -> None:
        self._rooms = rooms

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._rooms[name].partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command()(found)
            found = alone
        command = get_command(found)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._rooms)

    def __len__(self) -> int:
        return len(self._rooms)


def group(name: str, about: str, rooms: Mapping[str, str]) -> typer.Typer:
    """Return a group of these commands; about: its help."""

    class Group(TyperGroup):
        def __init__(self, **described: Any) -> None:
            super().__init__(**described)
            self.commands = _Commands(rooms)  # type: ignore[assignment]  # it is only read

    return typer.Typer(
        name=name,
        help=about,
        cls=Group,
        # Of a group without commands of its own typer makes one only for a callback.
        callback=lambda: None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
