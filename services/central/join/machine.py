"""This machine as others join it: its name for them, its authority, and what they are told."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from fastapi import Request

from services.central.answers import Json
from services.central.brokers.keeper import Keeper
from services.central.config import CentralConfig
from services.central.join.api import Joining
from services.central.join.invites import JoinsAs
from services.central.join.names import Known, Newcomer, why_taken
from services.central.join.signing import signer
from shared.config import ConfigError
from shared.host_port import host_port
from shared.kafka import KafkaAway, MembershipRefused
from shared.membership import Facts
from shared.network import Network, NetworkError, read_network
from shared.settings_events import Invite
from shared.tls import Authority, TlsError, fingerprint, last_certificate, load_authority
from shared.tls.files import read_pem
from shared.tls.renewal import renews

log = logging.getLogger(__name__)


def network_of(config: CentralConfig) -> Network | None:
    """Return how this machine shows itself to others; None while it does not."""
    if config.network_file is None:
        return None
    try:
        return read_network(config.network_file)
    except NetworkError as error:
        log.error("no address for others: %s", error)
        return None


def https_url(config: CentralConfig) -> str:
    """Return where others reach this central over HTTPS; empty while they cannot."""
    network = network_of(config)
    port = None if network is None else network.https_ports.get(config.name)
    if network is None or port is None:
        # A machine that joined was told so from the start.
        return config.url if config.url.startswith("https://") else ""
    return f"https://{host_port(network.host, port)}"


def brokers_for_others(config: CentralConfig) -> str:
    """Return the brokers as others reach them; empty while they cannot."""
    network = network_of(config)
    if network is not None:
        return host_port(network.host, network.kafka_port)
    # In containers they are reached by these addresses from the first moment on.
    is_told = config.network_file is None and (
        config.kafka_tls_dir is not None or config.broker_number > 0
    )
    return config.bootstrap_servers if is_told else ""


def places_to_ask(servers: str, facts: Facts | None) -> str:
    """Return where to ask for the brokers: `servers`, and where they were seen last."""
    # What was seen may be of before the broker of this machine got another place.
    seen = "" if facts is None else facts.addresses
    return ",".join(dict.fromkeys(filter(None, f"{seen},{servers}".split(","))))


def joining_of(
    config: CentralConfig,
    *,
    token: str | None,
    urls: Callable[[], list[str]],
    collectors: Callable[[], Collection[str]],
    centrals: Callable[[], Mapping[str, bool]],
    invites: Callable[[], Sequence[Invite]],
    install: Callable[[str, JoinsAs], Sequence[str]],
    keeper: Keeper,
    replace: Callable[[Request, str, str], Awaitable[None]],
    now_ms: Callable[[], int],
) -> Joining | None:
    """Return how machines join through this central; None where it has no authority.

    token: of the cluster, which a standby gets too. urls: of all centrals. collectors: names of
    those that are heard. centrals: as of `Known`. invites: all there are; blocking. install,
    replace: as of `Joining`. keeper: knows the brokers. Raises ConfigError.
    """
    if config.authority_dir is None or token is None:
        return None
    authority = _load(config.authority_dir)

    def given(name: str, joins_as: JoinsAs) -> Json:
        known = keeper.facts
        brokers = brokers_for_others(config) if known is None else known.addresses
        told: Json = {"brokers": brokers, "centrals": urls()}
        if joins_as is not JoinsAs.COLLECTOR and (kafka := keeper.joining(name)) is not None:
            told["kafka"] = kafka
        if config.https_certificate is not None:
            told["https_ca"] = last_certificate(read_pem(config.https_certificate)).decode()
        if joins_as is JoinsAs.STANDBY:
            # Once it is the primary it invites and signs in its turn. Who has the token can invite
            # a standby, so nobody else gets it either.
            told |= {
                "token": token,
                "authority_key": authority.key_pem.decode(),
                "export_address": config.export_address,
            }
        return told

    def not_yet(joins_as: JoinsAs) -> str:
        # A collector has no broker, and any one of the others' is enough for it.
        if joins_as is JoinsAs.COLLECTOR or config.broker_number == 0 or keeper.facts is not None:
            return ""
        return "the brokers are not known here yet: ask again in some seconds"

    def shown() -> str:
        own = config.https_certificate
        return fingerprint(authority.certificate_pem if own is None else read_pem(own))

    async def taken(who: Newcomer) -> str:
        admitted = await asyncio.to_thread(invites)

        def why() -> str:
            return why_taken(who, Known(collectors(), centrals(), keeper.facts, admitted, now_ms()))

        if why() and keeper.facts is not None:
            # What a broker was may be over since.
            with contextlib.suppress(KafkaAway, MembershipRefused):
                await keeper.look()
        return why()

    return Joining(
        url=lambda: https_url(config),
        fingerprint=shown,
        sign=signer(authority, now_ms),
        given=given,
        now_ms=now_ms,
        install=install,
        why_taken=taken,
        replace=replace,
        stay=keeper.stay,
        not_yet=not_yet,
        renews=lambda request, before, joins_as: renews(
            authority, before, request, role=joins_as.value
        ),
    )


def _load(directory: Path) -> Authority:
    try:
        return load_authority(directory)
    except TlsError as error:
        raise ConfigError(f"setting authority_dir: {error}") from error
