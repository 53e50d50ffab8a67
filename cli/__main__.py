"""The `steadflow` command: every subcommand has a file of its own and is named here."""

from cli.rooms import group

app = group(
    "steadflow",
    "NetFlow analytics that keep counting when the central server dies.",
    {
        "up": "cli.up:up",
        "down": "cli.status:down",
        "status": "cli.status:status",
        "cluster": "cli.cluster:cluster",
        "switchover": "cli.cluster:switchover",
        "failover": "cli.cluster:failover",
        "pause": "cli.cluster:pause",
        "resume": "cli.cluster:resume",
        "history": "cli.cluster:history",
        "drill": "cli.drill:drill",
        "audit": "cli.audit:audit",
        "traffic": "cli.traffic:traffic",
        "replay": "cli.replay:replay",
        "decode": "cli.decode:decode",
        "demo": "cli.demo:demo",
        "report": "cli.report:report",
        "standby": "cli.standby:standby",
        "collector": "cli.collector:collector",
        "user": "cli.user:user",
        "token": "cli.tokens:token",
        "witness": "cli.witness:witness",
    },
)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
