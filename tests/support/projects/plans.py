"""Questions about changes that are only thought of, written as short as they can be."""

from __future__ import annotations

from licensemaster.v1 import plan_pb2, seat_pb2
from tests.support.masters import PROJECT, Wire

OK, WARNED, NOT_POSSIBLE = (
    plan_pb2.PLAN_VERDICT_OK,
    plan_pb2.PLAN_VERDICT_OK_WITH_WARNINGS,
    plan_pb2.PLAN_VERDICT_NOT_POSSIBLE,
)


def upgrade(version: str, site: str = "") -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(upgrade=plan_pb2.UpgradeSoftware(version=version, site=site))


def release(*licenses: str) -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(release=plan_pb2.ReleaseLicenses(licenses=licenses))


def rebind(*licenses: str, to: str) -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(rebind=plan_pb2.RebindLicenses(licenses=licenses, device=to))


def central(pbx: str) -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(go_central=plan_pb2.GoCentral(pbx=pbx))


def day(text: str) -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(reach_day=plan_pb2.ReachDay(day=text))


def site(name: str, *, platform: str = "", software: str = "", **demand: int) -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(
        add_site=plan_pb2.AddSite(
            name=name,
            platform=platform,
            software_version=software,
            demand=[plan_pb2.SeatDemand(license_type=key, seats=seats) for key, seats in demand.items()],
        )
    )


async def plan(wire: Wire, *changes: plan_pb2.PlannedChange) -> plan_pb2.PlanChangesResponse:
    """What would happen."""
    request = plan_pb2.PlanChangesRequest(project=f"projects/{PROJECT}", changes=changes)
    return await wire.plans.PlanChanges(request)


def pool(plan: plan_pb2.PlanChangesResponse, license_type: str, device: str = "hq-box") -> plan_pb2.PoolForecast:
    return next(pool for pool in plan.pools if (pool.license_type, pool.device) == (license_type, device))


def refusals(plan: plan_pb2.PlanChangesResponse) -> dict[tuple[str, str, str], int]:
    """Seats that would be refused, by (PBX, license type, reason)."""
    return {
        (
            refused_seats.pbx.rpartition("/")[2],
            refused_seats.license_type,
            seat_pb2.RefusalReason.Name(refused_seats.reason)[15:],
        ): refused_seats.seats
        for refused_seats in plan.refused
    }
