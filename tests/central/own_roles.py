"""Topics of the roles that belong to one test."""

from collections.abc import Callable

from services.central.roles.duties import RolesTopics
from shared.topics import HA_HISTORY, HA_LOG, HA_ROLES, OUTBOX, Topic


def own_roles(make_topic: Callable[..., Topic]) -> RolesTopics:
    def own(topic: Topic) -> Topic:
        return make_topic(
            topic.name, append_time=topic.append_time, compacted=topic.compacted, retention=None
        )

    return RolesTopics(
        log=own(HA_LOG), roles=own(HA_ROLES), history=own(HA_HISTORY), outbox=own(OUTBOX)
    )
