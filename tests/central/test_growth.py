"""Growing and shrinking a cluster of brokers, step by step, killed at any point."""

import random
from itertools import pairwise

import pytest

from services.central.brokers.growth import (
    APART,
    AddVoter,
    Elect,
    Reassign,
    RemoveVoter,
    SetInSyncMin,
    Step,
    Unregister,
    Wait,
    Wish,
    owed,
)
from services.central.brokers.survives import survives
from shared.membership import Controller, Copies, Facts, Member

TOPICS = ("flows", *APART)
STEPS_MAX = 60


def cluster(*numbers: int, voters: tuple[int, ...] = (1,)) -> Facts:
    """A cluster whose data is all on broker 1; the other brokers are new."""
    return Facts(
        "id",
        tuple(Member(number, f"m{number}", "h", number * 10, True) for number in numbers),
        tuple(Controller(number, bytes(16), number in voters, 0) for number in numbers),
        tuple(Copies(topic, part, 1, (1,), (1,)) for topic in TOPICS for part in (0, 1)),
        dict.fromkeys(TOPICS, 1),
    )


def apply(facts: Facts, step: Step) -> Facts:
    """Do what a cluster would; a step by one that is not alive does nothing."""
    alive = {each.number for each in facts.members if each.is_alive}
    match step:
        case Reassign(moves):
            wanted = {(each.topic, each.partition): each.replicas for each in moves}
            copies = tuple(
                each
                if (to := wanted.get((each.topic, each.partition))) is None
                else each._replace(
                    replicas=to,
                    in_sync=tuple(number for number in to if number in alive),
                    leader=each.leader if each.leader in to else to[0],
                )
                for each in facts.copies
            )
            return facts._replace(copies=copies)
        case AddVoter(number) | RemoveVoter(number):
            is_voter = isinstance(step, AddVoter)
            return facts._replace(
                controllers=tuple(
                    each._replace(is_voter=is_voter) if each.number == number else each
                    for each in facts.controllers
                )
            )
        case SetInSyncMin(topics, value):
            return facts._replace(in_sync_min={**facts.in_sync_min, **dict.fromkeys(topics, value)})
        case Elect(places):
            return facts._replace(
                copies=tuple(
                    each._replace(leader=each.replicas[0])
                    if (each.topic, each.partition) in places
                    else each
                    for each in facts.copies
                )
            )
        case Unregister(number):
            return without(facts, number)
        case Wait():
            return facts


def without(facts: Facts, number: int) -> Facts:
    return facts._replace(
        members=tuple(each for each in facts.members if each.number != number),
        controllers=tuple(each for each in facts.controllers if each.number != number),
    )


def dead(facts: Facts, number: int) -> Facts:
    return facts._replace(
        members=tuple(
            each._replace(is_alive=False) if each.number == number else each
            for each in facts.members
        ),
        copies=tuple(
            each._replace(
                in_sync=(left := tuple(each_in for each_in in each.in_sync if each_in != number)),
                leader=each.leader if each.leader != number else (left or (-1,))[0],
            )
            for each in facts.copies
        ),
    )


def run(facts: Facts, wish: Wish = Wish()) -> tuple[Facts, list[Step]]:  # noqa: B008
    done: list[Step] = []
    while (step := owed(facts, wish)) is not None and not isinstance(step, Wait):
        assert len(done) < STEPS_MAX, done
        facts = apply(facts, step)
        done.append(step)
    return facts, done


def is_safe(facts: Facts) -> bool:
    """Whether every write is possible now."""
    return all(len(each.in_sync) >= facts.in_sync_min[each.topic] for each in facts.copies)


def test_a_second_machine_only_gets_copies() -> None:
    facts, done = run(cluster(1, 2), Wish(home=1))
    assert [type(step) for step in done] == [Reassign]
    assert all(each.replicas == (1, 2) for each in facts.copies)
    assert (facts.voters, set(facts.in_sync_min.values())) == ((1,), {1})
    assert "witness invite" in " ".join(survives(facts, Wish(home=1)))


def test_with_a_third_both_vote_and_the_leaders_leave_the_primarys_machine() -> None:
    wish = Wish(home=1, spare=frozenset({3}))
    facts, done = run(run(cluster(1, 2), wish)[0]._replace(members=cluster(1, 2, 3).members,
        controllers=cluster(1, 2, 3).controllers), wish)  # fmt: skip
    kinds = [type(step) for step in done]
    assert kinds == [Reassign, AddVoter, AddVoter, SetInSyncMin, Reassign, Elect]
    assert facts.voters == (1, 2, 3)
    assert set(facts.in_sync_min.values()) == {2}
    assert {each.leader for each in facts.copies if each.topic in APART} == {3}
    assert {each.leader for each in facts.copies if each.topic == "flows"} == {2, 3}
    assert "any one machine may die" in survives(facts, wish)[0]


def test_after_a_takeover_the_leaders_leave_the_new_primarys_machine() -> None:
    facts, _ = run(cluster(1, 2, 3), Wish(home=1))
    facts, done = run(facts, Wish(home=2))
    assert all(each.leader != 2 for each in facts.copies)
    assert all(isinstance(step, Reassign | Elect) for step in done)


@pytest.mark.parametrize("seed", range(50))
def test_killed_at_any_point_it_goes_on_and_writes_stay_possible(seed: int) -> None:
    chance = random.Random(seed)
    facts, wish = cluster(1, 2, 3), Wish(home=1, spare=frozenset({3}))
    seen = [facts]
    for _ in range(chance.randrange(8)):
        if (step := owed(facts, wish)) is not None:
            seen.append(facts := apply(facts, step))
    if chance.random() < 0.5:
        # Another primary goes on.
        wish = wish._replace(home=2)
    done = run(facts, wish)[0]
    assert owed(done, wish) is None
    assert done.voters == (1, 2, 3)
    assert all(map(is_safe, seen))
    assert all(each == (1, 2) or len(each) != 2 for each in (one.voters for one in seen))


def test_a_pair_of_voters_is_completed_or_undone() -> None:
    both, _ = run(cluster(1, 2), Wish(home=1))
    paired = both._replace(controllers=cluster(1, 2, voters=(1, 2)).controllers)
    assert owed(paired, Wish(home=1)) == RemoveVoter(2)
    third = paired._replace(
        members=cluster(1, 2, 3).members,
        controllers=cluster(1, 2, 3, voters=(1, 2)).controllers,
    )
    assert owed(third, Wish(home=1)) == AddVoter(3)
    assert owed(dead(third, 3), Wish(home=1)) == RemoveVoter(2)


def test_no_vote_is_given_before_two_can_have_it() -> None:
    facts, _ = run(cluster(1, 2, 3), Wish(home=1))
    slow = facts._replace(
        controllers=tuple(
            each._replace(is_voter=each.number == 1, behind=10_000 if each.number == 3 else 0)
            for each in facts.controllers
        ),
        in_sync_min=dict.fromkeys(TOPICS, 1),
    )
    assert isinstance(owed(slow, Wish(home=1)), Wait)


def test_two_in_sync_are_demanded_only_while_three_are() -> None:
    facts, _ = run(cluster(1, 2, 3), Wish(home=1))
    lax = facts._replace(in_sync_min=dict.fromkeys(TOPICS, 1))
    assert isinstance(owed(lax, Wish(home=1)), SetInSyncMin)
    assert not isinstance(owed(dead(lax, 3), Wish(home=1)), SetInSyncMin)


@pytest.mark.parametrize("gone", [2, 3])
@pytest.mark.parametrize("is_dead", [False, True], ids=["alive", "dead"])
def test_leaving_shrinks_to_one_voter_and_two_copies(gone: int, *, is_dead: bool) -> None:
    facts, _ = run(cluster(1, 2, 3), Wish(home=1))
    facts = dead(facts, gone) if is_dead else facts
    wish = Wish(home=1, leaving=frozenset({gone}))
    steps: list[Step] = []
    while (step := owed(facts, wish)) is not None and not isinstance(step, Wait):
        steps.append(step)
        facts = apply(facts, step)
        assert is_safe(facts), steps
        assert len(steps) < STEPS_MAX
    assert isinstance(steps[0], SetInSyncMin)
    assert facts.voters == (1,)
    assert all(set(each.replicas) == {1, 5 - gone} for each in facts.copies)
    assert any(isinstance(step, Unregister) for step in steps) == is_dead


def test_a_machine_that_is_only_away_changes_nothing() -> None:
    facts, _ = run(cluster(1, 2, 3), Wish(home=1))
    for number in (2, 3):
        away = dead(facts, number)
        found, done = run(away, Wish(home=1))
        assert all(isinstance(step, Reassign | Elect) for step in done)
        assert found.voters == (1, 2, 3)
        assert "is away" in survives(found, Wish(home=1))[0]


def test_sentences_for_one_and_two_machines_tell_what_stops() -> None:
    assert "when the machine dies" in survives(cluster(1), Wish(home=1))[0]
    lines = survives(run(cluster(1, 2), Wish(home=1))[0], Wish(home=1))
    assert lines[0].startswith("the loss of m2 stops nothing")
    assert lines[1].startswith("the loss of m1 stops decisions and the log, never counting")
    assert len(list(pairwise(lines))) == 2
