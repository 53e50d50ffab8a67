"""`steadflow standby ...`: a hot standby on another machine, and its proof."""

import typer

from cli.check import check
from cli.disable import disable
from cli.enable import enable
from cli.invite import invite
from cli.join import join
from cli.leave import leave, remove
from cli.repair import repair

standby = typer.Typer(
    name="standby",
    help="A hot standby: open this machine, invite another, join there; mend what differs.",
    no_args_is_help=True,
)
standby.command()(enable)
standby.command()(invite)
standby.command()(check)
standby.command()(join)
standby.command()(leave)
standby.command()(remove)
standby.command()(disable)
standby.command()(repair)
