"""`steadflow collector ...`: a collector on another machine."""

from cli.rooms import group

collector = group(
    "collector",
    "A collector on another machine: invite it here, join there.",
    {"invite": "cli.invite:invite_collector", "join": "cli.collector_join:join"},
)
