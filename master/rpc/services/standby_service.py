"""StandbyService: whether standbys could take over, and drills that prove it."""

from __future__ import annotations

from licensemaster.v1 import standby_pb2 as api
from licensemaster.v1 import standby_pb2_grpc
from master.domain.leases.standby import standby_switch
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing
from master.rpc.messages import message
from master.service.leases.leases import Leases


class StandbyService(standby_pb2_grpc.StandbyServiceServicer):
    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def CheckStandby(self, request: api.CheckStandbyRequest, context: Context) -> api.CheckStandbyResponse:
        project = incoming.project_name(request.project)
        pbx = incoming.optional_text("pbx", request.pbx)
        estate, pairs = await self._leases.check_standby(project, pbx=pbx)
        return api.CheckStandbyResponse(
            licenses=outgoing.standby_licenses(estate.master.device.name, standby_switch(estate)),
            pairs=[outgoing.standby_pair(project, pair) for pair in pairs],
        )

    async def DrillStandby(self, request: api.DrillStandbyRequest, context: Context) -> api.DrillStandbyResponse:
        name = incoming.pbx_name(request.standby, "standby")
        report = await self._leases.drill_standby(name, caller=caller_of_call.get())
        return message(api.DrillStandbyResponse, report, pair=outgoing.standby_pair(name.project, report.pair))
