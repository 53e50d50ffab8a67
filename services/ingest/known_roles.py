"""Who is primary, as this collector knows it: from `ha.roles`, and kept on disk."""

import json
import logging
import os
from pathlib import Path
from typing import Any, Final

from shared.kafka import Record
from shared.roles.cluster import ClusterRoles, decode_roles, encode_roles, newer
from shared.roles.records import RecordError

log = logging.getLogger(__name__)

FILE: Final = "roles.json"


class KnownRoles:
    """The newest record of `ha.roles`; outlives this process.

    refused: records that this release could not read; they change nothing.
    """

    def __init__(self, directory: Path) -> None:
        """Begin with what a process before left in `directory`."""
        self._path = directory / FILE
        self._topic_id = ""
        self.roles: ClusterRoles | None = None
        self.refused = 0
        self._read()

    def take(self, record: Record, topic_id: str) -> None:
        """Keep `record` unless a newer one is known of the same topic.

        A topic made again begins with epochs of its own: whatever it says holds.
        """
        try:
            found = decode_roles(record.value)
        except RecordError as error:
            self.refused += 1
            log.error("record of ha.roles refused offset=%d error=%s", record.offset, error)
            return
        known = self.roles if topic_id == self._topic_id else None
        kept = newer(known, found)
        if kept == self.roles and topic_id == self._topic_id:
            return
        if self.roles is None or kept.order != self.roles.order:
            log.info("primary is %s epoch=%d", kept.primary, kept.epoch)
        self.roles, self._topic_id = kept, topic_id
        self._write()

    def status(self) -> dict[str, Any]:  # JSON
        """Return what `/api/v1/status` shows: `primary`, null while unknown, and `standbys`."""
        roles = self.roles
        if roles is None:
            return {"primary": None, "standbys": []}
        url_of = roles.endpoints
        return {
            "primary": {
                "node": roles.primary,
                "url": url_of.get(roles.primary, ""),
                "epoch": roles.epoch,
            },
            "standbys": [{"node": node, "url": url_of.get(node, "")} for node in roles.standbys],
        }

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_bytes())
            self.roles = decode_roles(json.dumps(content["roles"]).encode())
            self._topic_id = str(content["topic_id"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("roles of before cannot be read file=%s error=%s", self._path, error)

    def _write(self) -> None:
        assert self.roles is not None
        new = self._path.with_suffix(".json.new")
        content = {"topic_id": self._topic_id, "roles": json.loads(encode_roles(self.roles))}
        try:
            new.write_text(json.dumps(content))
            os.replace(new, self._path)
        except OSError as error:
            # It is on Kafka all the same: only a start without Kafka would not know it.
            log.warning("roles not kept on disk file=%s error=%s", self._path, error.strerror)
