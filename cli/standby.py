"""`steadflow standby ...`: a hot standby on another machine, and its proof."""

from cli.rooms import group

standby = group(
    "standby",
    "A hot standby: open this machine, invite another, join there; mend what differs.",
    {
        "enable": "cli.enable:enable",
        "invite": "cli.invite:invite",
        "check": "cli.check:check",
        "join": "cli.join:join",
        "leave": "cli.leave:leave",
        "remove": "cli.leave:remove",
        "disable": "cli.disable:disable",
        "repair": "cli.repair:repair",
    },
)
