"""`steadflow collector ...`: a collector on another machine."""

import typer

from cli.collector_join import join
from cli.invite import invite_collector

collector = typer.Typer(
    name="collector",
    help="A collector on another machine: invite it here, join there.",
    no_args_is_help=True,
)
collector.command("invite")(invite_collector)
collector.command("join")(join)
