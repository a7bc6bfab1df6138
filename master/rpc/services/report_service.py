"""ReportService: what the usage history says; changes nothing."""

from __future__ import annotations

from licensemaster.v1 import report_pb2 as api
from licensemaster.v1 import report_pb2_grpc
from master.rpc.context import Context
from master.rpc.convert import incoming, reports
from master.service.monitoring.reports import Reports


class ReportService(report_pb2_grpc.ReportServiceServicer):
    def __init__(self, service: Reports) -> None:
        self._reports = service

    async def GetUsageReport(self, request: api.GetUsageReportRequest, context: Context) -> api.GetUsageReportResponse:
        project = incoming.project_name(request.project)
        days = reports.days(request.days)
        return reports.response(await self._reports.usage(project, days=days, with_holders=request.include_holders))
