"""A bare echo on the same server stack, a process: what gRPC and asyncio cost without any work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import uvloop

from licensemaster.v1 import lease_pb2, lease_pb2_grpc, seat_pb2

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

_GRANTED = seat_pb2.SeatResult(granted=seat_pb2.Grant(basis=seat_pb2.BASIS_DEBITED, device="hq-box", reassignable=True))
_LEASE = lease_pb2.Lease(pbx="projects/bench/pbxs/p1", epoch=1)


class _Echo(lease_pb2_grpc.LeaseServiceServicer):
    async def OpenLease(self, request: lease_pb2.OpenLeaseRequest, context: Context) -> lease_pb2.OpenLeaseResponse:
        return lease_pb2.OpenLeaseResponse(lease=_LEASE, results=[_GRANTED] * len(request.seats))

    async def AcquireSeats(
        self, request: lease_pb2.AcquireSeatsRequest, context: Context
    ) -> lease_pb2.AcquireSeatsResponse:
        return lease_pb2.AcquireSeatsResponse(results=[_GRANTED] * len(request.seats))


async def main(key: bytes = b"", certificate: bytes = b"", ca: bytes = b"") -> None:
    """Serve until killed, with a certificate where one is given; prints the port."""
    server = grpc.aio.server()
    lease_pb2_grpc.add_LeaseServiceServicer_to_server(_Echo(), server)  # type: ignore[abstract]
    if key:
        shown = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
        port = server.add_secure_port("127.0.0.1:0", shown)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(*(Path(name).read_bytes() for name in sys.argv[1:])))
