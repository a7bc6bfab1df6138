"""Usage reports, both ways: reads the days asked for, writes the report."""

from __future__ import annotations

from licensemaster.v1 import report_pb2
from master.domain.monitoring.report import PoolReport
from master.domain.monitoring.usage import DAY_SECONDS
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message
from master.service.monitoring.reports import UsageReport
from master.service.runtime.names import PbxName
from master.store.statements.usage import SiteRow

DAYS_DEFAULT, DAYS_MAX = 30, 3650


def days(given: int) -> int:
    """Read how many days to look back. Raises InvalidArgumentError if the number is negative or above `DAYS_MAX`."""
    if not 0 <= given <= DAYS_MAX:
        raise InvalidArgumentError("days", f"{given} is not between 1 and {DAYS_MAX}; 0 means {DAYS_DEFAULT}")
    return given or DAYS_DEFAULT


def response(report: UsageReport) -> report_pb2.GetUsageReportResponse:
    types = report.catalog.types
    return message(
        report_pb2.GetUsageReportResponse,
        report,
        project=f"projects/{report.project}",
        report_time=report.made_at,
        sites=[_site(row, types[row.license_type].display_name) for row in report.sites if row.license_type in types],
        pools=[_pool(pool) for pool in report.pools],
        rules=[
            message(report_pb2.RuleHistory, row, display_name=types[row.license_type].display_name)
            for row in report.rules
            if row.license_type in types
        ],
        policies=[
            message(report_pb2.PolicyHistory, use, display_name=types[use.license_type].display_name)
            for use in report.policies
            if use.license_type in types
        ],
        silent=[
            message(report_pb2.SilentPbx, silent, pbx=PbxName(report.project, silent.pbx), contact_time=silent.heard_at)
            for silent in report.silent
        ],
        denied=[
            message(
                report_pb2.DeniedHolder,
                row,
                pbx=PbxName(report.project, row.pbx),
                holder_kind=row.kind,
                refuse_time=row.refused_at,
            )
            for row in report.denied
        ],
    )


def _site(row: SiteRow, display_name: str) -> report_pb2.SiteHistory:
    peak_time = row.peak_at if row.peak else None
    return message(report_pb2.SiteHistory, row, display_name=display_name, peak_time=peak_time)


def _pool(pool: PoolReport) -> report_pb2.PoolHistory:
    trend = pool.trend
    return message(
        report_pb2.PoolHistory,
        pool,
        outlook=trend.outlook if trend is not None else None,
        seats_per_day=round(trend.seats_per_day, 3) if trend is not None else None,
        run_out_time=trend.day * DAY_SECONDS if trend is not None and trend.day is not None else None,
    )
