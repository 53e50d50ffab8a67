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
from shared.membership import Controller, Facts
from tests.central.kafka_machines import TOPICS, apply, cluster, dead, joined

STEPS_MAX = 60


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


ONE = [["central-a", "central-b"]]
TWO = [*ONE, ["m2"]]
"""Centrals that act or could, by machine."""


def test_a_second_machine_only_gets_copies() -> None:
    facts, done = run(cluster(1, 2), Wish(home=1))
    assert [type(step) for step in done] == [Reassign]
    assert all(each.replicas == (1, 2) for each in facts.copies)
    assert (facts.voters, set(facts.in_sync_min.values())) == ((1,), {1})
    assert "witness invite" in " ".join(survives(facts, Wish(home=1), TWO))
    alone = " ".join(survives(facts, Wish(home=1), ONE))
    assert ("witness invite" in alone, "standby invite" in alone) == (False, True)


def test_with_a_third_both_vote_and_the_leaders_leave_the_primarys_machine() -> None:
    wish = Wish(home=1, spare=frozenset({3}))
    facts, done = run(joined(run(cluster(1, 2), wish)[0], 3), wish)
    kinds = [type(step) for step in done]
    assert kinds == [Reassign, AddVoter, AddVoter, SetInSyncMin, Reassign, Elect]
    assert facts.voters == (1, 2, 3)
    assert set(facts.in_sync_min.values()) == {2}
    assert {each.leader for each in facts.copies if each.topic in APART} == {3}
    assert {each.leader for each in facts.copies if each.topic == "flows"} == {2, 3}
    assert "any one machine may die" in survives(facts, wish, TWO)[0]


@pytest.mark.parametrize(
    ("able", "said"),
    [([], "no central can act now"), (ONE, "only central-a and central-b could act, on one")],
    ids=["none", "one"],
)
def test_where_no_other_machine_could_act_that_is_said(able: list[list[str]], said: str) -> None:
    """One that is still compared, or only keeps a copy, or a second witness."""
    lines = " ".join(survives(grown(), Wish(home=1), able))
    assert "any one machine may die" not in lines
    assert said in lines
    assert "a central on another machine must be able to take over" in lines


def test_after_a_takeover_the_leaders_leave_the_new_primarys_machine() -> None:
    facts, _ = run(cluster(1, 2, 3), Wish(home=1))
    facts, done = run(facts, Wish(home=2))
    assert all(each.leader != 2 for each in facts.copies)
    assert all(isinstance(step, Reassign | Elect) for step in done)


def at_sites(facts: Facts, *sites: str) -> Facts:
    """The same machines, each at its site."""
    members = zip(facts.members, sites, strict=True)
    return facts._replace(members=tuple(each._replace(site=site) for each, site in members))


def leaders(facts: Facts) -> set[int]:
    return {each.leader for each in facts.copies}


def test_a_remote_witness_leads_nothing_while_another_one_at_the_primarys_site_can() -> None:
    wish = Wish(home=1, spare=frozenset({3}))
    facts, _ = run(at_sites(cluster(1, 2, 3), "", "", "far"), wish)
    assert leaders(facts) == {2}
    assert leaders(grown()) == {2, 3}


def test_beside_a_remote_standby_the_witness_leads_and_after_a_switchover_who_can() -> None:
    facts, _ = run(at_sites(cluster(1, 2, 3), "home", "far", "home"), Wish(home=1))
    assert leaders(facts) == {3}
    # At the far site there is nobody else.
    facts, _ = run(facts, Wish(home=2))
    assert leaders(facts) == {3}
    facts, _ = run(at_sites(facts, "a", "b", "c"), Wish(home=3))
    assert leaders(facts) == {1, 2}


def test_whoever_was_away_gets_its_leaders_back_from_afar() -> None:
    facts, _ = run(at_sites(cluster(1, 2, 3), "", "", "far"), Wish(home=1))
    without = tuple(each._replace(leader=3, in_sync=(1, 3)) for each in facts.copies)
    assert leaders(run(dead(facts, 2)._replace(copies=without), Wish(home=1))[0]) == {3}
    back = tuple(each._replace(leader=3) for each in facts.copies)
    facts, done = run(facts._replace(copies=back), Wish(home=1))
    assert (leaders(facts), [type(step) for step in done]) == ({2}, [Elect])


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


def test_the_last_to_vote_is_one_whom_all_others_find() -> None:
    both, _ = run(cluster(1, 2), Wish(home=1))
    paired = both._replace(controllers=cluster(1, 2, voters=(1, 2)).controllers)
    one, two = (each.controller_address for each in paired.members)
    # The first of all began when there was no other.
    first = paired._replace(finds={1: frozenset({one}), 2: frozenset({one})})
    assert owed(first, Wish(home=1)) == owed(first, Wish(home=2)) == RemoveVoter(2)
    again = paired._replace(finds={1: frozenset({one, two}), 2: frozenset({one})})
    assert owed(again, Wish(home=2)) == RemoveVoter(1)
    neither = paired._replace(finds={1: frozenset({one}), 2: frozenset({two})})
    assert "m1 or m2 would not find the one that still votes" in str(owed(neither, Wish(home=1)))


def test_who_stays_alone_to_vote_is_found_by_all_that_stay() -> None:
    three = run(cluster(1, 2, 3), Wish(home=1))[0]
    voting = three._replace(controllers=cluster(1, 2, 3, voters=(2, 3)).controllers)
    two = voting.members[1].controller_address
    finds = {1: frozenset({two}), 2: frozenset({two}), 3: frozenset({two})}
    wish = Wish(home=3, leaving=frozenset({1}))
    voting = voting._replace(in_sync_min=dict.fromkeys(TOPICS, 1), finds=finds)
    assert owed(voting, wish) == RemoveVoter(3)


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
        assert "is away" in survives(found, Wish(home=1), TWO)[0]


def grown() -> Facts:
    return run(cluster(1, 2, 3), Wish(home=1))[0]


def votes_alive(facts: Facts) -> int:
    alive = {each.number for each in facts.members if each.is_alive}
    return len(alive.intersection(facts.voters))


def decides(facts: Facts) -> bool:
    """Whether a majority of those that vote is there."""
    return votes_alive(facts) > len(facts.voters) // 2


def test_a_dead_machine_keeps_its_place_until_another_one_answers() -> None:
    facts, wish = dead(grown(), 3), Wish(home=1, replaced=((3, 4),))
    assert isinstance(owed(facts, wish), Wait)
    assert isinstance(owed(dead(joined(facts, 4), 4), wish), Wait)
    assert isinstance(owed(joined(facts, 4), wish), Reassign)


@pytest.mark.parametrize("gone", [2, 3])
@pytest.mark.parametrize("seed", range(25))
def test_a_replaced_machine_goes_with_no_fewer_votes_alive(gone: int, seed: int) -> None:
    chance = random.Random(seed)
    other = 5 - gone
    facts, wish = dead(grown(), gone), Wish(home=1, replaced=((gone, 4),))
    joins_at, seen, steps = chance.randrange(4), [facts], list[Step]()
    for turn in range(STEPS_MAX):
        facts = joined(facts, 4) if turn == joins_at else facts
        if chance.random() < 0.2:
            # Another primary goes on.
            wish = wish._replace(home=chance.choice((1, other)))
        if (step := owed(facts, wish)) is not None:
            facts = apply(facts, step)
            steps.append(step)
            seen.append(facts)
    facts, _ = run(facts, wish)
    assert owed(facts, wish) is None
    assert set(facts.voters) == {each.number for each in facts.members} == {1, other, 4}
    assert all(set(each.replicas) == {1, other, 4} for each in facts.copies)
    assert all(map(is_safe, seen)), steps
    assert all(map(decides, seen)), steps
    assert min(map(votes_alive, seen)) == 2
    assert set(facts.in_sync_min.values()) == {2}


def test_the_vote_of_a_dead_machine_is_taken_only_when_another_can_have_it() -> None:
    facts, wish = joined(dead(grown(), 3), 4, behind=10_000), Wish(home=1, replaced=((3, 4),))
    slow, _ = run(facts, wish)
    assert isinstance(owed(slow, wish), Wait)
    assert slow.voters == (1, 2, 3)
    able = slow._replace(controllers=tuple(each._replace(behind=0) for each in slow.controllers))
    assert owed(able, wish) == RemoveVoter(3)
    pair = apply(slow, RemoveVoter(3))
    assert isinstance(owed(pair, wish), Wait)
    assert owed(apply(able, RemoveVoter(3)), wish) == AddVoter(4)


def test_what_takes_the_place_may_die_in_the_middle_and_come_back() -> None:
    wish = Wish(home=1, replaced=((3, 4),))
    facts = joined(dead(grown(), 3), 4)
    while owed(facts, wish) != AddVoter(4):
        step = owed(facts, wish)
        assert step is not None
        facts = apply(facts, step)
    undone, _ = run(dead(facts, 4), wish)
    assert undone.voters == (1,)
    assert is_safe(undone)
    back = undone._replace(
        members=tuple(each._replace(is_alive=each.number != 3) for each in undone.members),
        copies=tuple(each._replace(in_sync=each.replicas) for each in undone.copies),
    )
    whole, _ = run(back, wish)
    assert set(whole.voters) == {1, 2, 4}


def test_one_of_four_that_leaves_alive_passes_its_vote_on_before_it_goes() -> None:
    wish = Wish(home=1, leaving=frozenset({3}))
    facts, done = run(joined(grown(), 4), wish)
    votes = [step for step in done if isinstance(step, AddVoter | RemoveVoter)]
    assert votes == [AddVoter(4), RemoveVoter(3)]
    assert all(3 not in each.replicas for each in facts.copies)


def test_the_only_vote_is_passed_on_before_its_machine_goes() -> None:
    facts, _ = run(cluster(1, 2), Wish(home=1))
    wish = Wish(home=2, leaving=frozenset({1}))
    slow = facts._replace(
        controllers=tuple(each._replace(behind=10_000) for each in facts.controllers)
    )
    assert run(slow, wish)[0].voters == (1,)
    done, steps = run(facts, wish)
    votes = [step for step in steps if isinstance(step, AddVoter | RemoveVoter)]
    assert (done.voters, votes) == ((2,), [AddVoter(2), RemoveVoter(1)])


def test_a_disk_that_was_lost_has_no_vote_and_the_new_one_gets_it() -> None:
    facts = grown()
    new = Controller(2, b"B" * 16, False, 0)
    facts = facts._replace(controllers=(*facts.controllers, new))
    assert owed(facts, Wish(home=1)) == RemoveVoter(2)
    without_old = facts._replace(controllers=(facts.controllers[0], facts.controllers[2], new))
    assert owed(without_old, Wish(home=1)) == AddVoter(2)


@pytest.mark.parametrize("seed", range(25))
def test_one_that_dies_while_another_one_leaves_costs_no_majority(seed: int) -> None:
    chance = random.Random(seed)
    wish, facts, dies_at = Wish(home=1, leaving=frozenset({3})), grown(), chance.randrange(6)
    for turn in range(STEPS_MAX):
        facts = dead(facts, 2) if turn == dies_at else facts
        if (step := owed(facts, wish)) is not None:
            facts = apply(facts, step)
        assert decides(facts), step
    assert facts.voters == (1,)


def test_sentences_for_one_and_two_machines_tell_what_stops() -> None:
    assert "when the machine dies" in survives(cluster(1), Wish(home=1), ONE)[0]
    lines = survives(run(cluster(1, 2), Wish(home=1))[0], Wish(home=1), TWO)
    assert lines[0].startswith("the loss of m2 stops nothing")
    assert lines[1].startswith("the loss of m1 stops decisions and the log, never counting")
    assert len(list(pairwise(lines))) == 2


def test_with_two_of_three_away_it_is_said_that_nobody_acts() -> None:
    both = dead(dead(grown(), 2), 3)
    assert survives(both, Wish(home=1), ONE)[0].startswith(
        "the brokers of m2 and m3 are away: nobody"
    )
