"""Which ports other machines are shown, made of what a person asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cli.known_brokers import knows_others
from cli.network import network_file, prepare_tls
from cli.ports import PortTaken, check_port
from cli.system import CENTRALS
from shared.network import Network, NetworkError, Wish, read_network
from shared.tls import TlsFiles

HTTPS_PORTS: Final = (443, 8443)
"""The second where the first may not be bound: below 1024 that needs a right of its own."""
_OPTIONS = "--https-port or --kafka-port"


def plan_network(home: Path, wish: Wish, *, say: Callable[[str], None]) -> tuple[Network, TlsFiles]:
    """Return what to write to `network.json`, and this machine's certificate, which has the host.

    say: told of a port that is not free. Raises TlsError, NetworkError, PortTaken.
    """
    before = read_network(network_file(home))
    if before is not None and knows_others(home):
        there, wanted = (before.host, before.kafka_port), (wish.host, wish.kafka_port)
        if there != wanted:
            raise NetworkError(
                f"other machines find Kafka here at {before.host}:{before.kafka_port}, and could "
                "never be told of another place: they have to leave first"
            )
    ours = set() if before is None else {before.kafka_port, *before.https_ports.values()}
    tls = prepare_tls(home, hosts=[wish.host])
    network = Network(
        wish.host,
        _usable(wish.kafka_port, wish.bind, ours),
        dict(zip(CENTRALS, _https_ports(wish, ours, say), strict=True)),
        wish.bind,
    )
    return network, tls


def _https_ports(wish: Wish, ours: set[int], say: Callable[[str], None]) -> list[int]:
    """Return one port for each central, in a row. Raises PortTaken."""
    for first in HTTPS_PORTS if wish.https_port is None else (wish.https_port,):
        ports = [first + number for number in range(len(CENTRALS))]
        try:
            return [_usable(port, wish.bind, ours) for port in ports]
        except PortTaken as error:
            if wish.https_port is not None or first == HTTPS_PORTS[-1]:
                raise
            say(f"not port {first}: {error}")
    raise AssertionError("the last port returns or raises")


def _usable(port: int, bind: str, ours: set[int]) -> int:
    if port not in ours:
        check_port(bind, port, option=_OPTIONS)
    return port
