"""A replay: every seat that is held is asked for again, by the code that decides real requests.

The pools start empty, with the capacity that the given estate has. Seats that others need are asked for first, then
the rest in the reverse of the order in which seats are given up (`domain/allocation/shrink.py`), the oldest first; so
where licenses are short, the seats that would be taken away are refused. PBXs of new sites ask last.

The version of the application that a seat was acquired with (B8) is not known; it is taken to be old enough.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple

from master.domain.allocation.policies import NO_ALLOCATION
from master.domain.allocation.shrink import Standings
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering, VersionBasis
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.remedies.remedies import Effort, decided
from master.domain.remedies.trial import Case
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.refusals.reasons import MOST_NAMED, TOO_FEW, Refusal, RefusalReason
from master.domain.seats.seat_working_set import PoolScore, SeatWorkingSet
from master.domain.seats.seats import Key, Seat, Want
from master.values import Value, replace

_ASKS_FIRST = (False, False, 0, False)
_OLDEST = Version(0)
"""The version of an application whose version is not known."""


SeatName = tuple[int, Key]
"""The PBX id and the key of a seat."""


class RefusedSeat(NamedTuple):
    """A seat that was asked for anew and refused."""

    pbx_id: int
    want: Want
    refusal: Refusal
    before: Seat | None
    """The seat as held today; None for a seat of a new site."""

    @property
    def name(self) -> SeatName:
        return self.pbx_id, self.want[:3]


class Replay(Value):
    """The result of asking anew for every seat."""

    refused: Sequence[RefusedSeat]
    """The seats that would be refused, in the order of the refusals."""
    working_set: SeatWorkingSet
    """The seats held in the end."""
    eligibilities: EligibilityCache
    """The estate that the seats were decided on, and what was worked out from it."""
    software: Mapping[int, Version]

    @property
    def used(self) -> Mapping[int, int]:
        """Seats debited once everyone has asked anew, by pool id."""
        return {pool_id: pool.used for pool_id, pool in self.working_set.pools.items()}


Turn = tuple[int, tuple[bool, bool, int, bool], float, int]
"""When a seat is asked for: by rank of its type, then by who keeps seats longest, by age, and by PBX id."""


class Question(NamedTuple):
    """One seat to ask for."""

    turn: Turn
    want: Want
    before: Seat | None

    @property
    def pbx_id(self) -> int:
        return self.turn[3]


def questions(
    catalog: Catalog, seats: Iterable[Seat], standings: Standings, *, lent: Mapping[tuple[int, int], int]
) -> list[Question]:
    """Return every seat held, in any order, as questions in the order in which to ask.

    Whoever would give seats up first when a pool becomes too small asks last; borrowed seats of a type come first. The
    questions are sorted PBX by PBX, so that other threads get their turn in between. `lent` says how many seats were
    borrowed, by (pool id, PBX id).
    """
    rank, unknown = catalog.rank, _held_against_application(catalog)
    held: defaultdict[int, list[Question]] = defaultdict(list)
    turns: dict[tuple[int, str, float], Turn] = {}
    for seat in seats:
        if seat.is_companion:  # those come along by themselves (D1)
            continue
        alike = seat.pbx_id, seat.type, seat.acquired_at
        if (turn := turns.get(alike)) is None:
            kept_first = (True, *standings.of(seat.pbx_id, seat.type).kept_first)
            turn = turns[alike] = (rank[seat.type], kept_first, seat.acquired_at, seat.pbx_id)
        held[seat.pbx_id].append(Question(turn, seat.asked_anew(_OLDEST if seat.type in unknown else None), seat))
    for (pool_id, pbx_id), count in lent.items():
        of_pool = sorted(
            asked for asked in held[pbx_id] if asked.before is not None and asked.before.pool_id == pool_id
        )
        borrowed = set(of_pool[:count])
        held[pbx_id] = [_asked_first(asked) if asked in borrowed else asked for asked in held[pbx_id]]
    return [question for _, run in merge(*map(_runs, held.values())) for question in run]


def _asked_first(asked: Question) -> Question:
    rank, kept_first, acquired_at, pbx_id = asked.turn
    return asked._replace(turn=(rank, (False, *kept_first[1:]), acquired_at, pbx_id))


def _runs(of_pbx: Iterable[Question]) -> list[tuple[Turn, list[Question]]]:
    """Return the seats of a PBX in the order of their turns, those with the same turn together."""
    return [(turn, list(run)) for turn, run in groupby(sorted(of_pbx), key=itemgetter(0))]


def always() -> None:
    """Go on without a check, for a replay whose caller cannot leave."""


def ask_anew(
    estate: Estate,
    held: Sequence[Question],
    *,
    software: Mapping[int, Version],
    wants: Mapping[int, Sequence[Want]] | None = None,
    now: float = 0.0,
    go_on: Callable[[], None] = always,
) -> Replay:
    """Ask for every seat again, on a new working set.

    `held` are the seats held today, `wants` the seats asked for on top, by PBX id; all pools of the estate have ids.
    `software` is what PBXs run, by PBX id; for the others the estate says it. `now`, UNIX seconds, decides which uses
    are said to have ended. `go_on` is called before each PBX; it may raise, where nobody waits any more.
    """
    working_set = SeatWorkingSet(pbx_wide=estate.catalog.pbx_wide_types)
    for (device_id, key), pool_id in estate.pool_ids.items():  # those that lost their last license by it, too
        working_set.pools[pool_id] = PoolScore(estate.installations[device_id].capacity.get(key, 0), 0)
    estate = replace(estate, learning=None)
    refused: list[RefusedSeat] = []

    def ask(questions: Iterable[Question], eligibilities: EligibilityCache) -> None:
        deciders: dict[int, Decider] = {}
        for pbx_id, run in groupby(questions, key=attrgetter("pbx_id")):
            go_on()
            if pbx_id not in deciders:
                pbx = estate.pbxs[pbx_id]
                runs = software.get(pbx_id, pbx.software)
                deciders[pbx_id] = Decider(eligibilities, working_set, pbx, runs, LeaseTime.at(now))
            asked = list(run)
            outcomes = deciders[pbx_id].acquire([question.want for question in asked])
            refused.extend(
                RefusedSeat(pbx_id, question.want, outcome, question.before)
                for question, outcome in zip(asked, outcomes, strict=True)
                if isinstance(outcome, Refusal)
            )

    # B10: allocation rules are for what is asked for anew, not for what is held
    eligibilities = EligibilityCache(replace(estate, allocation=NO_ALLOCATION))
    ask(held, eligibilities)
    if wants:
        firm = replace(estate, allocation=estate.allocation.firm)  # an overdraft hides no shortage
        eligibilities = EligibilityCache(firm)
        working_set.divide(estate, now)
        ask(_on_top(estate.catalog, wants), eligibilities)
    return Replay(refused, working_set, eligibilities, software)


def _on_top(catalog: Catalog, wants: Mapping[int, Sequence[Want]]) -> Iterator[Question]:
    rank, unknown = catalog.rank, _held_against_application(catalog)
    for pbx_id, asked in wants.items():
        for want in sorted(asked, key=lambda seat: rank[seat.type]):
            application = _OLDEST if want.type in unknown else None
            turn = (rank[want.type], _ASKS_FIRST, 0.0, pbx_id)
            yield Question(turn, want._replace(application=application), None)


def _held_against_application(catalog: Catalog) -> frozenset[str]:
    """Return the types whose licenses are compared with the application's version (B8)."""
    return frozenset(
        key for key, license_type in catalog.types.items() if license_type.version_basis is VersionBasis.APPLICATION
    )


# --- What is short ----------------------------------------------------------------------------------------------------

_WANTED_ALL_THE_SAME = TOO_FEW | {RefusalReason.VERSION_LIMIT, RefusalReason.REQUIREMENT_MISSING}


def wanted(estate: Estate, replay: Replay) -> Counter[tuple[int, str]]:
    """Count the seats that everyone would draw from each pool, debited or refused, by (device id, license type).

    A refused seat that another seat includes today is not counted, as the other seat would include it again.
    """
    drawn: Counter[tuple[int, str]] = Counter()
    for name, pool_id in estate.pool_ids.items():
        drawn[name] += replay.used.get(pool_id, 0)
    missing = Counter(
        (refused_seat.pbx_id, refused_seat.want.type)
        for refused_seat in replay.refused
        if refused_seat.refusal.reason in _WANTED_ALL_THE_SAME
        and (refused_seat.before is None or refused_seat.before.pool_id is not None)
    )
    for (pbx_id, type_key), seats in missing.items():
        pbx, license_type = estate.pbxs[pbx_id], estate.catalog.types[type_key]
        if license_type.metering not in (Metering.FLOATING, Metering.FIXED):
            continue
        companions = [other.type for other in license_type.companions if other.platform == pbx.device.platform]
        for key in (license_type.key, *companions):
            needed = estate.catalog.types[key]
            drawn[estate.place_for(estate.sources(pbx, needed), needed).device.id, key] += seats
    return +drawn


# --- Who would be refused ---------------------------------------------------------------------------------------------


class RefusedSeats(Value):
    """Seats of one PBX and type that would be refused for one reason."""

    site: str
    pbx: str
    license_type: str
    reason: RefusalReason
    rules: tuple[str, ...]
    seats: int
    held: int
    """How many of `seats` are held today. They stay until they are returned or expire (B10), except `leaving`."""
    leaving: int
    """How many of `held` lose their licenses; they have to be returned, drained or revoked first (L5)."""
    already: int
    """How many of `seats` would be refused today as well, if everyone asked anew without the change."""
    holders: tuple[str, ...]
    """The first few holders."""
    message: str
    remedy: str
    """What would help, for the biggest groups; empty where licenses are short, as then all seats together count."""


def grouped(
    replay: Replay, *, already: Collection[SeatName], leaving: Collection[int], now: float
) -> tuple[RefusedSeats, ...]:
    """Group refused seats by PBX, type and reason; the biggest groups first.

    `already` names seats that would be refused without the change too; `leaving` are ids of pools that would hold
    fewer licenses than are in use.
    """
    groups: dict[tuple[int, str, RefusalReason], list[RefusedSeat]] = {}
    for refused_seat in replay.refused:
        groups.setdefault((refused_seat.pbx_id, refused_seat.want.type, refused_seat.refusal.reason), []).append(
            refused_seat
        )
    refused_groups: list[RefusedSeats] = []
    for (pbx_id, key, reason), members in sorted(groups.items(), key=lambda group: -len(group[1])):
        # the answer given last has the highest numbers
        last, pbx = members[-1].refusal, replay.eligibilities.estate.pbxs[pbx_id]
        refused_groups.append(
            RefusedSeats(
                site=pbx.site,
                pbx=pbx.name,
                license_type=key,
                reason=reason,
                rules=last.rules,
                seats=len(members),
                held=sum(member.before is not None for member in members),
                leaving=sum(_leaves(member, reason, leaving) for member in members),
                already=sum(member.name in already for member in members),
                holders=tuple(member.want.holder for member in members[:MOST_NAMED]),
                message=last.message,
                remedy=_remedy(replay, members, now)
                if reason not in TOO_FEW and len(refused_groups) < MOST_NAMED
                else "",
            )
        )
    return tuple(sorted(refused_groups, key=_biggest_first))


def _biggest_first(group: RefusedSeats) -> tuple[int, str, str, str, int]:
    return -group.seats, group.site, group.pbx, group.license_type, group.reason


def _remedy(replay: Replay, members: Sequence[RefusedSeat], now: float) -> str:
    pbx = replay.eligibilities.estate.pbxs[members[0].pbx_id]
    case = Case(
        eligibilities=replay.eligibilities,
        working_set=replay.working_set,
        read_pools=lambda: replay.working_set.pools,
        pbx=pbx,
        software=replay.software.get(pbx.id, pbx.software),
        time=LeaseTime.at(now),
        wants=tuple(member.want for member in members),
    )
    return decided(case, [member.refusal for member in members], Effort.of_a_batch()).text


def _leaves(refused_seat: RefusedSeat, reason: RefusalReason, leaving: Collection[int]) -> bool:
    return reason in TOO_FEW and refused_seat.before is not None and refused_seat.before.pool_id in leaving
