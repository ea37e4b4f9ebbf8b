"""How many leases of a quota a worker should hold."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.providers.leases import MOST_LEASES, wanted_leases
from voicefleet.providers.sharing import Counts

small = st.integers(min_value=0, max_value=1000)


@dataclass(frozen=True)
class Case:
    id: str
    quota: int
    own: Counts
    fleet: Counts
    workers: int
    wanted: int


ONE_IN_USE, LACKING = Counts(in_use=1), Counts(lacking=1)
CASES = (
    Case("what nobody uses is divided", 10, ONE_IN_USE, Counts(in_use=4), 3, 3),
    Case("who is alone may have all", 10, ONE_IN_USE, ONE_IN_USE, 1, 10),
    Case("where there is less than one for each, one is kept at hand", 1, Counts(), Counts(), 2, 1),
    Case("until somebody lacks it", 1, Counts(), LACKING, 2, 0),
    Case("who lacks one wants one", 1, LACKING, LACKING, 2, 1),
    Case("two who lack one both want it", 1, LACKING, Counts(lacking=2), 2, 1),
    Case("what is in use is kept although somebody lacks it", 1, ONE_IN_USE, Counts(in_use=1, lacking=1), 2, 1),
    Case("of more than there are, none is kept at hand", 2, ONE_IN_USE, Counts(held=3, in_use=2), 2, 1),
    Case("of a quota that is used up there is nothing more", 2, ONE_IN_USE, Counts(in_use=2, lacking=1), 2, 1),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_leases_are_divided(case: Case) -> None:
    assert wanted_leases(case.quota, case.own, case.fleet, case.workers) == case.wanted


@given(st.integers(1, 2000), st.builds(Counts, in_use=small, lacking=st.integers(0, 1)), small, st.integers(0, 200))
def test_nobody_wants_more_than_the_quota_or_less_than_it_uses(
    quota: int, own: Counts, elsewhere: int, workers: int
) -> None:
    fleet = Counts(in_use=own.in_use + elsewhere, lacking=own.lacking + elsewhere % 3)
    wanted = wanted_leases(quota, own, fleet, workers)

    assert min(own.in_use, quota, MOST_LEASES) <= wanted <= min(quota, MOST_LEASES)


@given(st.integers(1, 500), st.lists(st.integers(0, 20), min_size=1, max_size=10))
def test_equal_parts_of_a_quota_that_has_enough_for_all_fit_into_it(quota: int, in_use: list[int]) -> None:
    fleet = Counts(in_use=sum(in_use))
    wanted = [wanted_leases(quota, Counts(in_use=each), fleet, len(in_use)) for each in in_use]

    if quota - fleet.in_use >= len(in_use):
        assert sum(wanted) <= quota
