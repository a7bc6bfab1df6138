"""What is counted beyond the seats held, attributed to the kinds of claims."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from master.domain.leases.claims import Claim, ClaimKind, floors, kept_by_kind


def _claim(kind: ClaimKind, seats: int, holder_id: int = 1) -> Claim:
    return Claim(kind=kind, holder_id=holder_id, pool_id=7, seats=seats, ends_at=100.0, serial=1)


CLAIMS = st.lists(st.builds(_claim, st.sampled_from(ClaimKind), st.integers(0, 50), st.integers(1, 3)), max_size=8).map(
    tuple
)


@given(CLAIMS, st.integers(0, 60))
def test_the_kinds_add_up_to_what_is_counted_beyond_the_seats(claims: tuple[Claim, ...], seats: int) -> None:
    kept = kept_by_kind(claims, seats=seats)
    assert sum(kept.values()) == max(floors(claims).get(7, 0), seats) - seats
    assert all(count > 0 for count in kept.values())


def test_what_may_be_in_use_comes_before_what_lies_idle() -> None:
    claims = (_claim(ClaimKind.BLOCK, 12), _claim(ClaimKind.LOAN, 40), _claim(ClaimKind.FENCED, 6))
    assert kept_by_kind(claims, seats=5) == {ClaimKind.FENCED: 1, ClaimKind.LOAN: 34}
    assert kept_by_kind(claims[:1], seats=5) == {ClaimKind.BLOCK: 7}
    assert kept_by_kind(claims, seats=40) == {}
