"""What the loss of each machine would do, in plain sentences; pure."""

from collections.abc import Iterable, Sequence

from services.central.brokers.growth import VOTERS, Wish, due, led_at_home
from shared.membership import Facts, Member
from shared.settings_events import MachineLeaves

WITNESS = "`steadflow witness invite` here prints the line to run on a third machine"
NO_STANDBY = (
    "a central on another machine must be able to take over: `steadflow standby invite`, or where "
    "there is one, `steadflow cluster` says what it lacks"
)


def survives(facts: Facts, wish: Wish, able: Sequence[Sequence[str]]) -> list[str]:
    """Return what this cluster survives and what not, and how it would survive more.

    able: by machine, the centrals that act or could take over now.
    """
    wish = due(facts, wish)
    staying = [each for each in facts.members if each.number not in wish.leaving]
    if len(staying) == 1:
        return [
            "one machine holds the log: a dead process is replaced; when the machine dies, the "
            "system stops, and goes on with all that was acknowledged once it is back",
            "a second machine: `steadflow standby invite`; two more survive the loss of any one",
        ]
    if len(staying) < VOTERS or len(facts.voters) < VOTERS:
        return _without_majority(facts, staying, able)
    lines = []
    away = [each for each in staying if not each.is_alive]
    if len(away) > 1:
        lines.append(
            f"the brokers of {_names(away)} are away: nobody acts, and collectors count on into "
            "their spools until one is back"
        )
    elif away:
        lines.append(
            f"the broker of {_names(away)} is away: with one more machine gone nobody acts, and "
            "collectors count on into their spools"
        )
    elif _is_whole(facts) and len(able) > 1:
        lines.append(
            "any one machine may die: another central acts, nothing is lost; with two gone nobody "
            "acts, and collectors count on into their spools until one is back"
        )
    elif _is_whole(facts):
        lines.append(
            f"the log outlives any one machine, but only {' and '.join(able[0])} could act, on one "
            "machine: without that nobody does until it is back"
            if able
            else "the log outlives any one machine, but no central can act now"
        )
        lines.append(NO_STANDBY)
    else:
        lines.append("not every machine holds everything yet: see what is owed next")
    led = led_at_home(facts, wish.home)
    if led:
        lines.append(
            f"{' and '.join(led)} is led on the primary's machine: a takeover would take up to 7 s"
        )
    return lines


def leaving_sentences(leaving: Iterable[MachineLeaves], facts: Facts, wish: Wish) -> list[str]:
    """Return who goes, and what a person has to do about it."""
    lines = []
    asked = {each.machine: each for each in leaving}
    for member in facts.members:
        if (each := asked.get(member.machine)) is None:
            continue
        if each.replaced_by and member.number not in wish.leaving:
            lines.append(
                f"{each.machine} is replaced by {each.replaced_by} as soon as the broker there "
                "answers"
            )
        elif member.is_alive:
            lines.append(f"{each.machine} leaves: it is forgotten once it was stopped there")
        else:
            lines.append(f"{each.machine} leaves, and is forgotten then")
    return lines


def _without_majority(
    facts: Facts, staying: list[Member], able: Sequence[Sequence[str]]
) -> list[str]:
    deciding = [each for each in staying if each.number in facts.voters]
    others = [each for each in staying if each.number not in facts.voters]
    lines = []
    if others:
        lines.append(
            f"the loss of {_names(others)} stops nothing: the log pauses for a few seconds where "
            "that machine led it"
        )
    lines.append(
        f"the loss of {_names(deciding)} stops decisions and the log, never counting: collectors "
        "spool, and send again once it is back"
    )
    if len(staying) < VOTERS:
        lines.append(
            f"to survive the loss of either, add a witness: {WITNESS}"
            if len(able) > 1
            else NO_STANDBY
        )
    return lines


def _is_whole(facts: Facts) -> bool:
    return all(len(each.in_sync) >= VOTERS for each in facts.copies) and all(
        count >= VOTERS - 1 for count in facts.in_sync_min.values()
    )


def _names(members: list[Member]) -> str:
    return " and ".join(each.machine for each in members) or "the machine that decides"
