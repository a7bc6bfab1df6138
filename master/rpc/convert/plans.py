"""Plans, both ways: changes that are only thought of come in, what would happen goes out."""

from __future__ import annotations

from collections.abc import Sequence

from licensemaster.v1 import plan_pb2, seat_pb2
from master.domain.licenses.move_problems import MoveRefusal
from master.domain.planning.advice import Advice
from master.domain.planning.changes import AddSite, GoCentral, PlannedChange, ReachDay, Rebind, Release, Upgrade
from master.domain.planning.forecast import LimitForecast, PoolForecast
from master.domain.planning.plan import Plan
from master.domain.planning.replay import RefusedSeats
from master.rpc.convert import agreement_orders, incoming
from master.rpc.convert.refusals import license_refs
from master.rpc.convert.signed_documents import move_refusal
from master.rpc.convert.times import timestamp
from master.rpc.errors import InvalidArgumentError
from master.service.runtime.names import PbxName

CHANGES_MAX = 100
LICENSES_MAX = 1_000
DEMANDS_MAX = 100
SEATS_MAX = 100_000
NAME_MAX = 63


def changes(sent: Sequence[plan_pb2.PlannedChange]) -> list[PlannedChange]:
    """The changes to be planned; whether what they name exists is for the project to say.

    Raises:
        InvalidArgumentError: too many, none, or one is malformed; names which.
    """
    _check_count("changes", len(sent), CHANGES_MAX)
    return [_change(one, f"changes[{index}]") for index, one in enumerate(sent)]


def _change(sent: plan_pb2.PlannedChange, at: str) -> PlannedChange:
    match sent.WhichOneof("change"):
        case "upgrade":
            version = incoming.software(f"{at}.upgrade.version", sent.upgrade.version)
            return Upgrade(version, incoming.text(f"{at}.upgrade.site", sent.upgrade.site, required=False))
        case "release":
            return Release(_license_ids(sent.release.licenses, f"{at}.release.licenses"))
        case "rebind":
            device = incoming.text(f"{at}.rebind.device", sent.rebind.device)
            return Rebind(_license_ids(sent.rebind.licenses, f"{at}.rebind.licenses"), device)
        case "go_central":
            return GoCentral(incoming.text(f"{at}.go_central.pbx", sent.go_central.pbx))
        case "add_site":
            return _add_site(sent.add_site, f"{at}.add_site")
        case "reach_day":
            return ReachDay(agreement_orders.day(f"{at}.reach_day.day", sent.reach_day.day))
        case _:
            raise InvalidArgumentError(at, "must be one of upgrade, release, rebind, go_central, add_site, reach_day")


def _add_site(sent: plan_pb2.AddSite, at: str) -> AddSite:
    name = incoming.text(f"{at}.name", sent.name)
    if len(name) > NAME_MAX:
        raise InvalidArgumentError(f"{at}.name", f"{name[:80]!r} must be 1 to {NAME_MAX} characters")
    _check_count(f"{at}.demand", len(sent.demand), DEMANDS_MAX)
    demand: dict[str, int] = {}
    for index, one in enumerate(sent.demand):
        field = f"{at}.demand[{index}]"
        license_type = incoming.text(f"{field}.license_type", one.license_type)
        if license_type in demand:
            raise InvalidArgumentError(f"{field}.license_type", f"{license_type!r} is there twice; add the numbers up")
        demand[license_type] = one.seats
    if sum(demand.values()) > SEATS_MAX or min(demand.values()) < 1:
        raise InvalidArgumentError(f"{at}.demand", f"must be 1 to {SEATS_MAX:,} seats in all, at least 1 of each type")
    software = incoming.software(f"{at}.software_version", sent.software_version) if sent.software_version else None
    return AddSite(name, demand, incoming.text(f"{at}.platform", sent.platform, required=False), software)


def _license_ids(sent: Sequence[str], field: str) -> tuple[str, ...]:
    _check_count(field, len(sent), LICENSES_MAX)
    return tuple(incoming.text(f"{field}[{index}]", one) for index, one in enumerate(sent))


def _check_count(field: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise InvalidArgumentError(field, f"{count} are named; name 1 to {most:,}")


# --- The answer -------------------------------------------------------------------------------------------------------


def response(found: Plan) -> plan_pb2.PlanChangesResponse:
    def pbxs(names: Sequence[str]) -> list[str]:
        return [str(PbxName(found.project, name)) for name in names]

    return plan_pb2.PlanChangesResponse(
        project=f"projects/{found.project}",
        revision=found.revision,
        verdict=plan_pb2.PlanVerdict.ValueType(found.verdict.value),
        reasons=found.reasons,
        warnings=found.warnings,
        version_limits=[_limit(limit, pbxs(limit.pbxs_above)) for limit in found.limits],
        pools=[_pool(pool) for pool in found.pools],
        refused=[
            _refused(refused_seats, str(PbxName(found.project, refused_seats.pbx))) for refused_seats in found.refused
        ],
        obstacles=[_obstacle(obstacle) for obstacle in found.obstacles],
        staying=license_refs(found.staying),
        features=[
            plan_pb2.FeatureForecast(
                device=feature.device,
                license_type=feature.license_type,
                display_name=feature.display_name,
                on_after=feature.on_after,
                installed=feature.installed,
                needed=feature.needed,
                matched_type=feature.matched_type,
            )
            for feature in found.features
        ],
        becoming_central=pbxs(found.becoming_central),
        becoming_local=pbxs(found.becoming_local),
        advice=[_advice(advice) for advice in found.advice],
    )


def _obstacle(refused: MoveRefusal) -> plan_pb2.PlanObstacle:
    item = license_refs([refused.license])[0] if refused.license is not None else None
    return plan_pb2.PlanObstacle(license=item, refusal=move_refusal(refused))


def _limit(one: LimitForecast, pbxs_above: Sequence[str]) -> plan_pb2.LimitForecast:
    return plan_pb2.LimitForecast(
        device=one.device,
        before=one.before or 0,
        after=one.after or 0,
        software=one.software,
        blocking=license_refs(one.blocking),
        pbxs_above=pbxs_above,
        is_caused=one.is_caused,
    )


def _pool(one: PoolForecast) -> plan_pb2.PoolForecast:
    return plan_pb2.PoolForecast(
        device=one.device,
        license_type=one.license_type,
        display_name=one.display_name,
        capacity_before=one.capacity_before,
        capacity_after=one.capacity_after,
        capacity_unblocked=one.capacity_unblocked,
        used=one.used,
        wanted=one.wanted,
        peak=one.peak,
        peak_time=timestamp(one.peak_at) if one.peak_at is not None else None,
        wanted_at_peak=one.wanted_at_peak,
        missing=one.missing,
        missing_at_peak=one.missing_at_peak,
    )


def _refused(one: RefusedSeats, pbx: str) -> plan_pb2.RefusedSeats:
    return plan_pb2.RefusedSeats(
        pbx=pbx,
        site=one.site,
        license_type=one.license_type,
        reason=seat_pb2.RefusalReason.ValueType(one.reason.value),
        rules=one.rules,
        seats=one.seats,
        held=one.held,
        leaving=one.leaving,
        already=one.already,
        holders=one.holders,
        message=one.message,
        remedy=one.remedy,
    )


def _advice(one: Advice) -> plan_pb2.PlanAdvice:
    return plan_pb2.PlanAdvice(
        action=plan_pb2.AdviceAction.ValueType(one.action.value),
        text=one.text,
        device=one.device,
        license_type=one.license_type,
        quantity=one.quantity,
        quantity_at_peak=one.quantity_at_peak,
        version=one.version or 0,
        licenses=license_refs(one.licenses),
    )
