"""Which name a machine that joins may have; pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from services.central.brokers.keeper import number_of
from services.central.join.invites import JoinsAs, command_of
from shared.membership import Facts
from shared.roles.fold import RolesState, is_candidate
from shared.settings_events import Invite

JUST_ADMITTED_MS: Final = 120_000
"""Within so long of its invite's use a machine is heard, or its broker answers."""
OTHER: Final = "choose another by --name"


class Newcomer(NamedTuple):
    """Who joins. key: hash of its public key; empty where it shows none yet.

    is_again: its invite admitted this name and key before. renews: it has, or had, a certificate
    of that name, role and key, and only needs another one.
    """

    name: str
    joins_as: JoinsAs
    key: str = ""
    is_again: bool = False
    renews: bool = False


class Known(NamedTuple):
    """Who is there. collectors: that are heard. centrals: that are listed, and whether it is heard.

    facts: of the brokers, None while nothing is known of them.
    """

    collectors: Collection[str]
    centrals: Mapping[str, bool]
    facts: Facts | None
    invites: Iterable[Invite]
    now_ms: int


def listed_centrals(state: RolesState, own: str) -> dict[str, bool]:
    """Return the centrals that are listed, and whether each is heard. own: this one's name."""
    listed: dict[str, bool] = {}
    for incarnation, member in state.members.items():
        listed[member.node] = listed.get(member.node, False) or is_candidate(state, incarnation)
    return listed | {own: True}


def why_taken(who: Newcomer, known: Known) -> str:
    """Return why nobody else can have that name, in a sentence; empty when one can."""
    if who.renews:
        return ""
    if who.joins_as is JoinsAs.COLLECTOR:
        if not who.is_again and who.name in known.collectors:
            return f"a collector named {who.name} runs already: {OTHER}"
        return _admitted(who, known)
    # Also of one that comes again: another disk would be a second voter of its number.
    if why := _votes(who.name, known.facts):
        return why
    if who.is_again:
        return ""
    if known.centrals.get(who.name):
        return f"a central named {who.name} runs already: {OTHER}"
    if who.name in known.centrals:
        return f"a central named {who.name} is still listed: {_gone(who.name)}"
    return _broker(who.name, known.facts) or _admitted(who, known)


def _gone(name: str) -> str:
    return (
        f"{OTHER}, or where it is gone for ever run `{command_of(JoinsAs.STANDBY)} remove {name}` "
        "on the primary's machine first"
    )


def _votes(name: str, facts: Facts | None) -> str:
    members = () if facts is None else facts.members
    for each in members:
        if each.machine == name and facts is not None and each.number in facts.voters:
            return (
                f"the broker of {name} votes: {OTHER}, and --replace {name} where that machine "
                "is gone"
            )
    return ""


def _broker(name: str, facts: Facts | None) -> str:
    for each in () if facts is None else facts.members:
        if each.machine == name and (each.is_alive or each.number != number_of(name)):
            return f"a broker of {name} answers: {OTHER}, or stop what runs there first"
        if each.machine != name and each.number == number_of(name):
            return f"the broker of {each.machine} has the number that {name} would get: {OTHER}"
    return ""


def _admitted(who: Newcomer, known: Known) -> str:
    """Return whether another machine was admitted under that name and may not be heard yet."""
    for each in known.invites:
        if each.used_by != who.name or each.used_key == who.key:
            continue
        is_collector = each.joins_as == JoinsAs.COLLECTOR
        if is_collector is not (who.joins_as is JoinsAs.COLLECTOR):
            continue
        # A copy takes hours, in which nothing else tells of a standby; leaving removes its invite.
        if each.joins_as == JoinsAs.STANDBY:
            return f"a standby named {who.name} was admitted before: {_gone(who.name)}"
        if known.now_ms - each.used_at_ms < JUST_ADMITTED_MS:
            return (
                f"a {each.joins_as} named {who.name} was admitted just now: {OTHER}, or try again "
                "in two minutes"
            )
    return ""
