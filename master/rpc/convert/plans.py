"""Plans, both ways: reads planned changes, writes what would happen."""

from __future__ import annotations

from collections.abc import Sequence

from licensemaster.v1 import plan_pb2
from master.domain.planning.changes import AddSite, GoCentral, PlannedChange, ReachDay, Rebind, Release, Upgrade
from master.domain.planning.plan import Plan
from master.rpc.convert import agreement_orders, incoming
from master.rpc.convert.signed_documents import move_refusal
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message
from master.service.runtime.names import PbxName

CHANGES_MAX = 100
LICENSES_MAX = 1_000
DEMANDS_MAX = 100
SEATS_MAX = 100_000
NAME_MAX = 63


def changes(sent: Sequence[plan_pb2.PlannedChange]) -> list[PlannedChange]:
    """Read the changes to be planned; whether the things that they name exist is not checked here.
    Raises InvalidArgumentError if there are too many changes or none, or a change is malformed, and names which."""
    _check_count("changes", len(sent), CHANGES_MAX)
    return [_change(change, f"changes[{index}]") for index, change in enumerate(sent)]


def _change(sent: plan_pb2.PlannedChange, at: str) -> PlannedChange:
    match sent.WhichOneof("change"):
        case "upgrade":
            version = incoming.software(f"{at}.upgrade.version", sent.upgrade.version)
            return Upgrade(version, incoming.optional_text(f"{at}.upgrade.site", sent.upgrade.site))
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
    for index, entry in enumerate(sent.demand):
        field = f"{at}.demand[{index}]"
        license_type = incoming.text(f"{field}.license_type", entry.license_type)
        if license_type in demand:
            raise InvalidArgumentError(f"{field}.license_type", f"{license_type!r} is there twice; add the numbers up")
        demand[license_type] = entry.seats
    if sum(demand.values()) > SEATS_MAX or min(demand.values()) < 1:
        raise InvalidArgumentError(f"{at}.demand", f"must be 1 to {SEATS_MAX:,} seats in all, at least 1 of each type")
    software = incoming.software(f"{at}.software_version", sent.software_version) if sent.software_version else None
    return AddSite(name, demand, incoming.optional_text(f"{at}.platform", sent.platform), software)


def _license_ids(sent: Sequence[str], field: str) -> tuple[str, ...]:
    _check_count(field, len(sent), LICENSES_MAX)
    return tuple(incoming.text(f"{field}[{index}]", license_id) for index, license_id in enumerate(sent))


def _check_count(field: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise InvalidArgumentError(field, f"{count} are named; name 1 to {most:,}")


# --- The answer -------------------------------------------------------------------------------------------------------


def response(plan: Plan) -> plan_pb2.PlanChangesResponse:
    def pbxs(names: Sequence[str]) -> list[PbxName]:
        return [PbxName(plan.project, name) for name in names]

    return message(
        plan_pb2.PlanChangesResponse,
        plan,
        project=f"projects/{plan.project}",
        version_limits=[
            message(plan_pb2.LimitForecast, limit, pbxs_above=pbxs(limit.pbxs_above)) for limit in plan.limits
        ],
        refused=[
            message(plan_pb2.RefusedSeats, refused_seats, pbx=PbxName(plan.project, refused_seats.pbx))
            for refused_seats in plan.refused
        ],
        obstacles=[
            message(plan_pb2.PlanObstacle, refusal, refusal=move_refusal(refusal)) for refusal in plan.obstacles
        ],
        becoming_central=pbxs(plan.becoming_central),
        becoming_local=pbxs(plan.becoming_local),
    )
