"""ReportService: what the usage history says; changes nothing."""

from __future__ import annotations

from licensemaster.v1 import report_pb2 as api
from licensemaster.v1 import report_pb2_grpc
from master.rpc.context import Context
from master.rpc.convert import incoming, reports
from master.service.estates.service_context import ServiceContext
from master.service.monitoring.reports import usage_report


class ReportService(report_pb2_grpc.ReportServiceServicer):
    def __init__(self, service_context: ServiceContext) -> None:
        self._context = service_context

    async def GetUsageReport(self, request: api.GetUsageReportRequest, context: Context) -> api.GetUsageReportResponse:
        project = incoming.project_name(request.project)
        days, with_holders = reports.days(request.days), request.include_holders
        return reports.response(await usage_report(self._context, project, days=days, with_holders=with_holders))
