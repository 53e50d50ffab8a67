"""A copy is proven by what the primary holds, whatever a third central does."""

import pytest

from services.central.proof.ledger import Ledger
from services.central.proof.scrub_order import ScrubOrder
from services.central.proof.view import Json, proof_view
from services.standby.central_here import Differs, proven_until_ms
from shared.digest_records import MINUTE, Passed, Period, PeriodDigest, RawSums, RollupSums

MINUTE_MS = 60_000
AT_MS = 1_700_002_800_000
RIGHT, WRONG = 1, 2


def told(**digests: int) -> Json:
    """Return what "d" answers of one minute, of whose copies the hash sums are these."""
    ledger = Ledger("d")
    for central, digest in digests.items():
        ledger.take(
            PeriodDigest(
                central=central,
                period=Period(1, MINUTE, AT_MS),
                raw=RawSums(1, 1, 1, digest),
                digest_version=1,
                rollups=RollupSums(1, 1),
                rollup_version=1,
            )
        )
        ledger.take(
            Passed(
                central=central, stream=1, minutes_until_ms=AT_MS + MINUTE_MS, hours_until_ms=AT_MS
            )
        )
    return proof_view(ledger, ledger.copy_of("a"), ScrubOrder(), (), ())


def test_one_that_is_to_replace_a_wrong_one_is_proven() -> None:
    proof = told(a=RIGHT, c=WRONG, d=RIGHT)
    assert proven_until_ms(proof) == AT_MS + MINUTE_MS
    assert proof["differences_total"] == 1


def test_one_that_is_wrong_itself_is_not() -> None:
    for others in ({"c": RIGHT}, {"c": WRONG}, {}):
        with pytest.raises(Differs, match="1 minutes differ"):
            proven_until_ms(told(a=RIGHT, d=WRONG, **others))


def test_without_the_primary_nothing_is_proven() -> None:
    assert proven_until_ms(told(c=RIGHT, d=RIGHT)) == 0
