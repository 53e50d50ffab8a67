"""Where the brokers are, noted in a home: the ones of before may be gone at the next start."""

import asyncio
import logging
from pathlib import Path

from shared.kafka import Brokers, KafkaAway, noted_brokers, registered_addresses, with_noted
from shared.tls import TlsError
from shared.tls.writing import OWNER_ONLY, write_whole

log = logging.getLogger(__name__)

EVERY_S = 10.0


def with_known(home: Path, servers: str) -> str:
    """Return `servers` and those that were noted, each once."""
    return with_noted(servers, noted_brokers(home))


def knows_others(home: Path) -> bool:
    """Whether other machines had brokers when they were noted last."""
    return "," in with_known(home, "")


async def follow(home: Path, brokers: Brokers) -> None:
    """Note the brokers again and again, until cancelled; ask those that were noted too."""
    noted, asked, problem = "", brokers, ""
    while True:
        try:
            found = ",".join(await registered_addresses(asked, patience_s=0.0))
            if found and found != noted:
                write_whole(noted_brokers(home), f"{found}\n".encode(), mode=OWNER_ONLY)
                noted = found
            problem = ""
        except KafkaAway:
            pass
        except TlsError as error:
            # On a full disk nothing is noted, and everything else goes on.
            if str(error) != problem:
                log.warning("brokers are not noted: %s", error)
            problem = str(error)
        asked = brokers.at(with_known(home, brokers.servers))
        await asyncio.sleep(EVERY_S)
