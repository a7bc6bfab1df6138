"""The answer to a plan: what planned changes would lead to.

The code that decides real requests decides on a copy: `changes.py` makes the project as it would be, `replay.py` asks
anew for every seat, `forecast.py` puts before and after side by side, `advice.py` words the answer. Nothing is
changed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from master.domain.allocation.shrink import Standings
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate
from master.domain.estate.license_refs import LicenseRef
from master.domain.licenses import moves
from master.domain.licenses.move_problems import MoveRefusal
from master.domain.monitoring.overview import PoolUse
from master.domain.planning import advice as say
from master.domain.planning.advice import Advice, Verdict
from master.domain.planning.changes import Planned, PlannedChange, planned
from master.domain.planning.forecast import (
    FeatureForecast,
    Forecasts,
    LimitForecast,
    PoolForecast,
    feature_forecasts,
    limit_forecasts,
    pool_forecasts,
    too_old_for_the_pool,
)
from master.domain.planning.replay import (
    Question,
    RefusedSeats,
    Replay,
    SeatName,
    always,
    ask_anew,
    grouped,
    questions,
    wanted,
)
from master.domain.seats.refusals.agreed_uses import endings_told
from master.domain.seats.refusals.reasons import MOST_HOLDERS, TopHolder
from master.domain.seats.seats import Seat
from master.values import Value, field


class Situation(Value):
    """A project at one moment, with all seats held."""

    estate: Estate
    software: Mapping[int, Version]
    """The software that PBXs with a running lease say they run, by PBX id."""
    seats: Sequence[Seat]
    uses: Mapping[int, PoolUse]
    """The seats debited, by pool id."""
    devices: Collection[str]
    """All device names of the project."""
    now: float
    """UNIX time in seconds."""
    reachable: Collection[int] = ()
    """The ids of PBXs that can be notified now."""
    lent: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """How many seats PBXs have borrowed, by (pool id, PBX id)."""
    upgrades: Mapping[str, Collection[int]] = field(default_factory=dict)
    """The versions that licenses can get free of charge today, by license id (M1)."""


class Plan(Value, kw_only=True):
    project: str
    revision: int
    """The revision of the project that the plan is based on."""
    verdict: Verdict
    reasons: tuple[str, ...]
    """Why the changes are not possible; empty where they are."""
    warnings: tuple[str, ...]
    limits: tuple[LimitForecast, ...]
    pools: tuple[PoolForecast, ...]
    refused: tuple[RefusedSeats, ...]
    """Seats that would be refused if everyone asked anew."""
    obstacles: tuple[MoveRefusal, ...]
    """The licenses that cannot be moved, or not yet, and why."""
    staying: tuple[LicenseRef, ...]
    """Licenses that stay on their box for good while their PBX goes central (C2, D4)."""
    features: tuple[FeatureForecast, ...]
    becoming_central: tuple[str, ...]
    becoming_local: tuple[str, ...]
    advice: tuple[Advice, ...]


def plan(situation: Situation, changes: Sequence[PlannedChange], *, go_on: Callable[[], None] = always) -> Plan:
    """Answer what would happen if changes were made one by one; `go_on` is called now and then, and may raise.
    Raises PlanInvalidError if a change is wrong in itself."""
    before = situation.estate
    then = planned(before, changes, software=situation.software, devices=situation.devices, now=situation.now)
    after = then.estate
    standings = Standings(before.allocation, before.site_of, reachable=situation.reachable, now=situation.now)
    held = questions(before.catalog, situation.seats, standings, lent=situation.lent)
    replay = ask_anew(after, held, software=then.software, wants=then.wants, now=then.now, go_on=go_on)
    limits = limit_forecasts(before, then, software_before=situation.software)
    pools = pool_forecasts(before, after, limits=limits, uses=situation.uses, wanted=wanted(after, replay))
    features = tuple(feature_forecasts(before, after))
    in_use = tuple(_in_use(situation, after, pools, ended=then.ended))
    leaving = {before.pool_on(pool.device, pool.license_type) for pool in pools if pool.to_return}
    refused = grouped(replay, already=_already(situation, then, replay, held, go_on), leaving=leaving, now=then.now)
    obstacles = (*then.obstacles, *in_use)
    ended = [license for license in before.licenses if license.id in then.ended]
    too_old = too_old_for_the_pool(before, then, software_before=situation.software)
    reasons = tuple(say.reasons(limits, refused, obstacles, too_old=too_old, ended=endings_told(before, ended)))
    forecasts = Forecasts(limits, pools, features)
    warnings = tuple(say.warnings(before, after, forecasts, refused, obstacles))
    if ended and not reasons:
        warnings = (endings_told(before, ended), *warnings)
    turned = {
        pbx.name: after.is_local(pbx) for pbx in before.pbxs.values() if after.is_local(pbx) != before.is_local(pbx)
    }
    return Plan(
        project=before.name,
        revision=before.revision,
        verdict=Verdict.NOT_POSSIBLE if reasons else Verdict.OK_WITH_WARNINGS if warnings else Verdict.OK,
        reasons=reasons,
        warnings=warnings,
        limits=limits,
        pools=pools,
        refused=refused,
        obstacles=obstacles,
        staying=tuple(license.ref for license in then.staying),
        features=features,
        becoming_central=tuple(name for name, is_local in turned.items() if not is_local),
        becoming_local=tuple(name for name, is_local in turned.items() if is_local),
        advice=tuple(say.advice(after, forecasts, upgrades=situation.upgrades, ended=ended)),
    )


def _already(
    situation: Situation, then: Planned, replay: Replay, held: Sequence[Question], go_on: Callable[[], None]
) -> frozenset[SeatName]:
    """Return the seats that would be refused without the changes too, except those of PBXs that an `Upgrade` names."""
    concerned = [
        refused_seat
        for refused_seat in replay.refused
        if refused_seat.before is not None and refused_seat.pbx_id not in then.upgraded
    ]
    if not concerned:
        return frozenset()
    today = ask_anew(situation.estate, held, software=situation.software, go_on=go_on)
    return frozenset(refused_seat.name for refused_seat in today.refused) & frozenset(
        refused_seat.name for refused_seat in concerned
    )


def _in_use(
    situation: Situation, after: Estate, pools: Sequence[PoolForecast], *, ended: Collection[str]
) -> Iterator[MoveRefusal]:
    """List licenses that leave a device while seats are debited from them, one per pool (L5), not those that end."""
    device_after = {license.id: license.device for license in after.licenses}
    shrinking = {(pool.device, pool.license_type): pool for pool in pools if pool.to_return}
    holders = _top_holders(situation) if shrinking else {}
    for license in situation.estate.licenses:
        if license.device is None or license.id in ended or device_after[license.id] == license.device:
            continue
        pool = shrinking.pop((license.device.name, license.type.key), None)
        if pool is None:
            continue
        pool_id = situation.estate.pool_ids[license.device.id, license.type.key]
        refused = moves.use_refused(license, used=pool.used, left=pool.capacity_after, holders=holders[pool_id])
        assert refused is not None
        yield refused


def _top_holders(situation: Situation) -> Mapping[int, Sequence[TopHolder]]:
    """Return the PBXs that use most seats of each pool, by pool id."""
    estate = situation.estate
    debited = Counter((seat.pool_id, seat.pbx_id) for seat in situation.seats if seat.pool_id is not None)
    by_pool: defaultdict[int, list[TopHolder]] = defaultdict(list)
    for (pool_id, pbx_id), seats in debited.most_common():
        if len(by_pool[pool_id]) < MOST_HOLDERS:
            pbx = estate.pbxs[pbx_id]
            by_pool[pool_id].append(TopHolder(f"projects/{estate.name}/pbxs/{pbx.name}", pbx.site, seats))
    return by_pool
