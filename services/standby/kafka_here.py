"""Kafka as it is reached from this machine, and how long it keeps flows."""

from services.standby import measuring
from services.standby.config import StandbyConfig
from services.standby.copy_time import KAFKA_S
from services.standby.given import Given
from shared.kafka import Brokers, KafkaAway, broker_addresses, noted_brokers, with_noted
from shared.tls import TlsFiles


class KafkaHere:
    """Remembers what was found last."""

    def __init__(self, config: StandbyConfig) -> None:
        """Ask nothing yet."""
        self._config = config
        self._noted = noted_brokers(config.home)
        self.keeps_s = KAFKA_S

    def brokers(self) -> Brokers:
        """Return all that were told or noted: one that lives is enough.

        Raises NotGiven, TlsError.
        """
        home = self._config.home
        servers = with_noted(Given.read(home).brokers, self._noted)
        return Brokers(servers, TlsFiles.in_directory(home / "tls"))

    async def addresses(self, brokers: Brokers) -> list[tuple[str, int]]:
        """Return where the brokers are now; as they were noted, or told, when none answers.

        What was noted may name a machine that is gone for good. Raises NotGiven.
        """
        try:
            servers = ",".join(await broker_addresses(brokers))
        except KafkaAway:
            servers = ""
        known = servers or with_noted("", self._noted) or Given.read(self._config.home).brokers
        return measuring.host_ports(known)

    async def look(self, brokers: Brokers, now_ms: int) -> None:
        """Note how long it keeps flows, unless it does not say. now_ms: UTC."""
        found = await measuring.kafka_keeps_s(brokers, now_ms)
        self.keeps_s = self.keeps_s if found is None else found
