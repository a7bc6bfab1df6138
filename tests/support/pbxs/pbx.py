"""A PBX as bare calls, for tests that look at the master's answers themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from licensemaster.v1 import lease_pb2, seat_pb2
from tests.support.masters import PROJECT, Wire

USER = seat_pb2.HOLDER_KIND_USER


def seat(
    license_type: str,
    holder: str,
    *,
    kind: seat_pb2.HolderKind.ValueType = USER,
    user: str = "",
    line: str = "",
    app: str = "",
) -> seat_pb2.Seat:
    return seat_pb2.Seat(
        license_type=license_type, holder_kind=kind, holder=holder, user=user, line=line, application_version=app
    )


def seats(license_type: str, count: int, prefix: str = "phone") -> list[seat_pb2.Seat]:
    """So many seats of one type."""
    return [seat(license_type, f"{prefix}-{number}") for number in range(count)]


class BarePbx:
    """Calls of one PBX under its lease."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire = wire
        self.name = f"projects/{PROJECT}/pbxs/{name}"
        self.epoch = 0
        self.unanswered_calls = 0
        self.instance_id = f"instance-{uuid4()}"

    async def open(
        self, software: str = "12", *wanted: seat_pb2.Seat, request_id: str | None = None
    ) -> lease_pb2.OpenLeaseResponse:
        """Open a lease and go on under it; acquire seats in the same step."""
        response = await self.wire.leases.OpenLease(
            lease_pb2.OpenLeaseRequest(
                pbx=self.name,
                instance_id=self.instance_id,
                request_id=request_id or str(uuid4()),
                software_version=software,
                seats=wanted,
                unanswered_calls=self.unanswered_calls,
            )
        )
        self.epoch = response.lease.epoch
        return response

    async def renew(self) -> lease_pb2.RenewLeaseResponse:
        return await self.wire.leases.RenewLease(lease_pb2.RenewLeaseRequest(pbx=self.name, epoch=self.epoch))

    async def close(self) -> lease_pb2.CloseLeaseResponse:
        return await self.wire.leases.CloseLease(lease_pb2.CloseLeaseRequest(pbx=self.name, epoch=self.epoch))

    async def acquire(self, *wanted: seat_pb2.Seat, wait: bool = False) -> Sequence[seat_pb2.SeatResult]:
        request = lease_pb2.AcquireSeatsRequest(**self._under_lease(), seats=wanted, wait=wait)
        return (await self.wire.leases.AcquireSeats(request)).results

    async def give_back(self, *unwanted: seat_pb2.Seat) -> Sequence[lease_pb2.ReturnResult]:
        request = lease_pb2.ReturnSeatsRequest(**self._under_lease(), seats=unwanted)
        return (await self.wire.leases.ReturnSeats(request)).results

    async def sync(self, *wanted: seat_pb2.Seat, wait: bool = False) -> lease_pb2.SyncSeatsResponse:
        request = lease_pb2.SyncSeatsRequest(**self._under_lease(), seats=wanted, wait=wait)
        return await self.wire.leases.SyncSeats(request)

    def _under_lease(self) -> dict[str, Any]:
        return {"pbx": self.name, "epoch": self.epoch, "unanswered_calls": self.unanswered_calls}


async def opened(wire: Wire, name: str, software: str = "12") -> BarePbx:
    pbx = BarePbx(wire, name)
    await pbx.open(software)
    return pbx


def granted(results: Sequence[seat_pb2.SeatResult]) -> list[seat_pb2.Grant]:
    """The grants, all being granted."""
    assert all(result.WhichOneof("outcome") == "granted" for result in results), results
    return [result.granted for result in results]


def refused(results: Sequence[seat_pb2.SeatResult]) -> list[seat_pb2.Refusal]:
    """The refusals, all being refused."""
    assert all(result.WhichOneof("outcome") == "refused" for result in results), results
    return [result.refused for result in results]


def divided(results: Sequence[seat_pb2.SeatResult]) -> tuple[int, list[seat_pb2.Refusal]]:
    """How many seats were granted, and the refusals of the others."""
    refusals = [result.refused for result in results if result.HasField("refused")]
    return len(results) - len(refusals), refusals
