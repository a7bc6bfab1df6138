"""Usage reports as the wire writes them."""

from __future__ import annotations

from licensemaster.v1 import report_pb2, seat_pb2
from master.domain.monitoring.report import PoolReport, SilentPbx
from master.domain.monitoring.usage import DAY_SECONDS
from master.domain.seats.refusals import RefusalReason
from master.rpc.convert.outgoing import lease_state
from master.rpc.convert.times import timestamp
from master.rpc.errors import InvalidArgumentError
from master.service.monitoring.reports import UsageReport
from master.store.statements.usage import DenialRow, SiteRow

DAYS_DEFAULT, DAYS_MAX = 30, 3650


def days(given: int) -> int:
    """How many days to look back.

    Raises:
        InvalidArgumentError: there are no such days.
    """
    if not 0 <= given <= DAYS_MAX:
        raise InvalidArgumentError("days", f"{given} is not between 1 and {DAYS_MAX}; 0 means {DAYS_DEFAULT}")
    return given or DAYS_DEFAULT


def response(report: UsageReport) -> report_pb2.GetUsageReportResponse:
    name = f"projects/{report.project}"
    types = report.catalog.types
    return report_pb2.GetUsageReportResponse(
        project=name,
        report_time=timestamp(report.made_at),
        days=report.days,
        days_known=report.days_known,
        sites=[_site(row, types[row.license_type].display_name) for row in report.sites if row.license_type in types],
        pools=[_pool(pool) for pool in report.pools],
        silent=[_silent(name, silent_pbx) for silent_pbx in report.silent],
        denied=[_denied(name, one) for one in report.denied],
    )


def _site(row: SiteRow, display_name: str) -> report_pb2.SiteHistory:
    return report_pb2.SiteHistory(
        site=row.site,
        license_type=row.license_type,
        display_name=display_name,
        peak_seven_days=row.peak_lately,
        peak=row.peak,
        peak_time=timestamp(row.peak_at) if row.peak_at is not None and row.peak else None,
        refused=row.refused,
        denied=row.denied,
    )


def _pool(one: PoolReport) -> report_pb2.PoolHistory:
    pool_history = report_pb2.PoolHistory(
        device=one.device,
        license_type=one.license_type,
        display_name=one.display_name,
        capacity=one.capacity,
        used=one.used,
        peak_seven_days=one.peak_lately,
        peak=one.peak,
        unused=one.unused,
    )
    if one.trend is not None:
        pool_history.outlook = report_pb2.Outlook.ValueType(one.trend.outlook.value)
        pool_history.seats_per_day = round(one.trend.seats_per_day, 3)
        if one.trend.day is not None:
            pool_history.run_out_time.CopyFrom(timestamp(one.trend.day * DAY_SECONDS))
    return pool_history


def _silent(project: str, one: SilentPbx) -> report_pb2.SilentPbx:
    return report_pb2.SilentPbx(
        site=one.site,
        pbx=f"{project}/pbxs/{one.pbx}",
        state=lease_state(one.state),
        contact_time=timestamp(one.heard_at) if one.heard_at is not None else None,
        seats=one.seats,
    )


def _denied(project: str, one: DenialRow) -> report_pb2.DeniedHolder:
    return report_pb2.DeniedHolder(
        pbx=f"{project}/pbxs/{one.pbx}",
        site=one.site,
        license_type=one.license_type,
        holder_kind=seat_pb2.HolderKind.ValueType(one.kind),
        holder=one.holder,
        reason=seat_pb2.RefusalReason.ValueType(RefusalReason[one.reason].value),
        refuse_time=timestamp(one.refused_at),
    )
