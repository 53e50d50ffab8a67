"""The `steadflow` command: every subcommand has a file of its own and is registered here."""

import typer

from cli.audit import audit
from cli.cluster import cluster, failover, history, pause, resume, switchover
from cli.collector import collector
from cli.decode import decode
from cli.demo import demo
from cli.drill import drill
from cli.replay import replay
from cli.report import report
from cli.standby import standby
from cli.status import down, status
from cli.tokens import token
from cli.traffic import traffic
from cli.up import up
from cli.user import user
from cli.witness import witness

app = typer.Typer(
    name="steadflow",
    help="NetFlow analytics that keep counting when the central server dies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up)
app.command()(down)
app.command()(status)
app.command()(cluster)
app.command()(switchover)
app.command()(failover)
app.command()(pause)
app.command()(resume)
app.command()(history)
app.command()(drill)
app.command()(audit)
app.command()(traffic)
app.command()(replay)
app.command()(decode)
app.command()(demo)
app.add_typer(report, name="report")
app.add_typer(standby, name="standby")
app.add_typer(collector, name="collector")
app.add_typer(user, name="user")
app.add_typer(token, name="token")
app.add_typer(witness, name="witness")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
