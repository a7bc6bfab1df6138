"""The waiting after a call for seats: what was refused only because seats are short becomes a place in a queue.

Possible where an operator's policy for the type has a queue, for seats of the shared pool, and where the call asks for
it; a seat that is waited for already keeps its place whatever a later call asks. A seat that is refused for any other
reason is not waited for, or no longer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from master.domain.allocation.waiting_line import Waiter
from master.domain.estate.estate import Estate, Pbx
from master.domain.seats.outcomes import Outcome
from master.domain.seats.refusals import allocation_explanations
from master.domain.seats.refusals.reasons import Refusal, RefusalReason
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import Want

AWAITABLE = frozenset({RefusalReason.POOL_EXHAUSTED, RefusalReason.RESERVED_FOR_OTHERS, RefusalReason.MAXIMUM_REACHED})
"""Reasons of refusals that end as seats come free, or as PBXs of the same site give theirs back."""


def with_places(
    wants: Sequence[Want],
    outcomes: list[Outcome],
    *,
    pbx: Pbx,
    estate: Estate,
    working_set: SeatWorkingSet,
    waits: bool,
) -> list[Outcome]:
    """Give the refused seats that may be waited for a place in their queue, and say so in the refusals. `waits` says
    whether the call asks to wait."""
    awaited: defaultdict[int, list[int]] = defaultdict(list)
    pools = {key: pool_id for pool_id, key in estate.shared_pools.items() if pool_id in working_set.queues}
    short = Counter(
        want.type
        for want, outcome in zip(wants, outcomes, strict=True)
        if isinstance(outcome, Refusal) and outcome.reason in AWAITABLE
    )
    for index, (want, outcome) in enumerate(zip(wants, outcomes, strict=True)):
        pool_id = pools.get(want.type)
        if pool_id is None:
            continue
        queue, name = working_set.queues[pool_id], (pbx.id, want[:3])
        if not isinstance(outcome, Refusal):
            queue.leave(pbx.id, (want[:3],))
            continue
        is_short = outcome.reason in AWAITABLE and outcome.license_type == want.type
        if is_short and name not in queue and waits:
            if not queue.takes(pbx.id):
                outcomes[index] = allocation_explanations.queue_full(outcome, queue, pbx)
                continue
            queue.join(Waiter(pbx.id, pbx.site, want[:3], queue.now, short[want.type], is_there=True), want)
        if is_short and name in queue:
            awaited[pool_id].append(index)
        elif outcome.reason is not RefusalReason.LEARNING:
            queue.leave(pbx.id, (want[:3],))
    for pool_id, indices in awaited.items():
        queue = working_set.queues[pool_id]
        names = [(pbx.id, wants[index][:3]) for index in indices]
        places = queue.places(names, working_set.divisions[pool_id])
        worded: dict[tuple[int, int], Refusal] = {}
        for index, name in zip(indices, names, strict=True):
            refusal, place = outcomes[index], places[name]
            assert isinstance(refusal, Refusal)
            alike = id(refusal), place
            if alike not in worded:  # one object, so that it is explained, converted and written once
                worded[alike] = allocation_explanations.waiting(refusal, place=place, waiting=len(queue))
            outcomes[index] = worded[alike]
    return outcomes
