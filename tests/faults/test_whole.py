"""When three machines are whole: the rule that ends each fault of `machine_faults`."""

from shared.membership import Controller, Copies, Facts, Member
from tests.faults.machines import STANDBY, WITNESS, is_whole

FIRST = "one"
NAMES = {1: FIRST, 2: STANDBY, 3: WITNESS}
WHOLE = Facts(
    "id",
    tuple(Member(number, name, "h", number * 10, True) for number, name in NAMES.items()),
    tuple(Controller(number, bytes(16), True, 0) for number in NAMES),
    (
        Copies("ha.log", 0, 3, (3, 2, 1), (3, 2, 1)),
        Copies("flows", 0, 2, (2, 3, 1), (2, 3, 1)),
    ),
    {"ha.log": 2, "flows": 2},
)


def test_three_that_live_and_vote_and_owe_nothing_are_whole() -> None:
    assert is_whole(WHOLE, FIRST)


def test_who_is_away_votes_not_lacks_something_or_leads_too_much_is_not() -> None:
    members, controllers, copies = WHOLE.members, WHOLE.controllers, WHOLE.copies
    away = members[2]._replace(is_alive=False)
    lacking = copies[0]._replace(in_sync=(3, 2))
    assert not is_whole(None, FIRST)
    assert not is_whole(WHOLE._replace(members=members[:2]), FIRST)
    assert not is_whole(WHOLE._replace(members=(*members[:2], away)), FIRST)
    observer = controllers[2]._replace(is_voter=False)
    assert not is_whole(WHOLE._replace(controllers=(*controllers[:2], observer)), FIRST)
    assert not is_whole(WHOLE._replace(copies=(lacking, copies[1])), FIRST)
    # It leads what a takeover from it would need.
    assert not is_whole(WHOLE, STANDBY)
