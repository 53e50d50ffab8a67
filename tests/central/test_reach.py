"""Whether a machine that asks is reached, also by its name; nobody else is tried."""

import socket

import pytest

from services.central.reach import Seen, addresses_of, seen

ASKS, OWN, PORTS = "10.0.0.7", ("10.0.0.1", "127.0.0.1", "127.0.1.1", "::1"), (8443, 19094)


class Somewhere:
    """What a name leads to on the primary, and which addresses answer.

    tried: who was connected to.
    """

    def __init__(self, *addresses: str, answer: tuple[str, ...] = (ASKS, *OWN)) -> None:
        self.addresses = addresses
        self.answer = answer
        self.tried: set[str] = set()

    async def resolve(self, host: str) -> tuple[str, ...]:
        assert host == "b.example"
        return self.addresses

    async def connect(self, address: str, port: int) -> str:
        self.tried.add(address)
        return "" if address in self.answer else f"{address}:{port}: refused"

    async def seen(self, asks_from: str = ASKS, host: str = "b.example") -> Seen:
        return await seen(
            asks_from, PORTS, host,
            resolve=self.resolve, connect=self.connect, is_own=lambda address: address in OWN,
        )  # fmt: skip


async def test_a_name_that_leads_to_who_asks_is_tried_there() -> None:
    there = Somewhere(ASKS)
    assert await there.seen() == Seen((), (ASKS,), is_tried=True)
    assert (await there.seen("::ffff:10.0.0.7")).is_tried

    closed = await Somewhere(ASKS, answer=()).seen()
    assert closed.problems == ("10.0.0.7:8443: refused", "10.0.0.7:19094: refused")


@pytest.mark.parametrize(
    "addresses",
    [(), ("10.0.0.9",), ("127.0.0.1",), ("10.0.0.1",), ("fd00::9", "10.0.0.9")],
)
async def test_whatever_a_name_leads_to_nobody_but_who_asks_is_tried(
    addresses: tuple[str, ...],
) -> None:
    elsewhere = Somewhere(*addresses)
    assert await elsewhere.seen() == Seen((), addresses, is_tried=False)
    # Nor when it leads to who asks too: whoever answers for a name could add any address.
    both = Somewhere(*addresses, ASKS)
    assert (await both.seen()).is_tried
    assert elsewhere.tried == both.tried == {ASKS}


async def test_who_gives_no_name_is_tried_as_before() -> None:
    somewhere = Somewhere()
    assert await somewhere.seen(host="") == Seen(())
    assert somewhere.tried == {ASKS}


async def test_on_one_machine_a_name_may_lead_to_any_of_its_addresses() -> None:
    for asks, address in (("127.0.0.1", "10.0.0.1"), ("10.0.0.1", "127.0.1.1")):
        same = Somewhere(address)
        assert await same.seen(asks) == Seen((), (address,), is_tried=True)
        assert same.tried == {asks, address}
        closed = await Somewhere(address, answer=(asks,)).seen(asks)
        assert closed.problems == (f"{address}:8443: refused", f"{address}:19094: refused")
    # Who connects to a name goes on to its next address.
    one_of_two = await Somewhere("::1", "10.0.0.1", answer=("10.0.0.1", "127.0.0.1")).seen(
        "127.0.0.1"
    )
    assert (one_of_two.problems, one_of_two.is_tried) == ((), True)


async def test_a_real_name_is_resolved_and_its_port_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = await seen("127.0.0.1", [port], "localhost")
        assert (found.problems, found.is_tried) == ((), True)
    closed = await seen("127.0.0.1", [port], "localhost")
    assert closed.problems[0].startswith(f"127.0.0.1:{port}: ")
    for nobody in ("no-such-host.invalid", "a" * 64, "nul\0"):
        assert await addresses_of(nobody) == ()
