"""A standby PBX as bare calls: its own lease, the standby leases it is given, and what it takes over."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from licensemaster.v1 import document_pb2, lease_pb2, seat_pb2, standby_pb2
from tests.support.masters import PROJECT, Wire
from tests.support.pbxs.pbx import BarePbx

LICENSES: dict[str, int | tuple[int, str]] = {"PBX-Port12": 10, "PBX-Standby12": 10}
PAIR = {"berlin": "slave 12 gateway", "spare": "standby:berlin 12 gateway", "paris": "slave 12 gateway"}


class BareStandby(BarePbx):
    def __init__(self, wire: Wire, name: str = "spare", *, primary: str = "berlin") -> None:
        super().__init__(wire, name)
        self.primary = f"projects/{PROJECT}/pbxs/{primary}"
        self.kept: document_pb2.SignedDocument | None = None
        """The standby lease on its disk."""
        self.receipt = lease_pb2.StandbyLeaseReceipt(primary=self.primary)
        self.problems: list[standby_pb2.StandbyProblem] = []

    @property
    def terms(self) -> lease_pb2.StandbyLeaseTerms:
        """What it may carry without a master."""
        assert self.kept is not None
        return lease_pb2.StandbyLeaseTerms.FromString(self.kept.payload)

    @property
    def covered(self) -> dict[str, int]:
        """Seats by type."""
        return {holding.license_type: holding.seats for holding in self.terms.holdings}

    def keep(self, response: lease_pb2.OpenLeaseResponse | lease_pb2.RenewLeaseResponse) -> None:
        """Store what came; the next renewal acknowledges it."""
        self.problems = [problem for offer in response.standby_leases for problem in offer.problems]
        for offer in response.standby_leases:
            if offer.HasField("signed"):
                self.kept = document_pb2.SignedDocument()
                self.kept.CopyFrom(offer.signed)
                self.receipt.serial, self.receipt.discarded = self.terms.serial, False
            else:
                self.discard()

    def discard(self) -> None:
        """Use nothing on the strength of a standby lease any more; the next renewal says so."""
        self.kept, self.receipt.discarded = None, True

    async def open(
        self, software: str = "12", *wanted: seat_pb2.Seat, request_id: str | None = None
    ) -> lease_pb2.OpenLeaseResponse:
        response = await super().open(software, *wanted, request_id=request_id)
        self.keep(response)
        return response

    async def renew(self, *, keep: bool = True) -> lease_pb2.RenewLeaseResponse:
        """Renew and acknowledge; without `keep` the answer gets lost."""
        request = lease_pb2.RenewLeaseRequest(pbx=self.name, epoch=self.epoch, standby_receipts=[self.receipt])
        response = await self.wire.leases.RenewLease(request)
        if keep:
            self.keep(response)
        return response

    def takeover(
        self,
        *,
        software: str = "12",
        request_id: str | None = None,
        force: bool = False,
        carried_seconds: float | None = None,
        in_use: Mapping[str, int] | None = None,
    ) -> lease_pb2.TakeOverLeaseRequest:
        request = lease_pb2.TakeOverLeaseRequest(
            standby=self.name,
            standby_epoch=self.epoch,
            primary=self.primary,
            instance_id=self.instance_id,
            request_id=request_id or str(uuid4()),
            software_version=software,
            reason="berlin does not answer",
            force=force,
        )
        if carried_seconds is not None:
            assert self.kept is not None
            request.carried_offline.signed.CopyFrom(self.kept)
            request.carried_offline.carried_seconds = carried_seconds
            for key, seats in (in_use or {}).items():
                request.carried_offline.in_use.add(license_type=key, seats=seats)
        return request

    async def take_over(self, request: lease_pb2.TakeOverLeaseRequest | None = None) -> BarePbx:
        """Take over and go on in the primary's name."""
        response = await self.wire.leases.TakeOverLease(request or self.takeover())
        assert not response.problems, response.problems
        carried = BarePbx(self.wire, self.primary.rpartition("/")[2])
        carried.instance_id, carried.epoch = self.instance_id, response.lease.epoch
        return carried

    async def refused(
        self, request: lease_pb2.TakeOverLeaseRequest | None = None
    ) -> dict[str, standby_pb2.StandbyProblem]:
        """Why a takeover is refused, by kind."""
        response = await self.wire.leases.TakeOverLease(request or self.takeover())
        assert response.problems
        assert not response.HasField("lease")
        assert [problem.kind for problem in response.problems] == sorted(problem.kind for problem in response.problems)
        return by_kind(response.problems)


def by_kind(problems: object) -> dict[str, standby_pb2.StandbyProblem]:
    """Problems by the short name of their kind."""
    prefix = "STANDBY_PROBLEM_KIND_"
    return {
        standby_pb2.StandbyProblemKind.Name(problem.kind).removeprefix(prefix): problem
        for problem in problems  # type: ignore[attr-defined]
    }


async def standing_by(wire: Wire, name: str = "spare", software: str = "12") -> BareStandby:
    """A standby with a lease of its own."""
    standby = BareStandby(wire, name)
    await standby.open(software)
    return standby


async def checked(wire: Wire, pbx: str = "spare") -> standby_pb2.StandbyPair:
    """The one pair of a PBX, judged."""
    response = await wire.standby.CheckStandby(standby_pb2.CheckStandbyRequest(project=f"projects/{PROJECT}", pbx=pbx))
    (pair,) = response.pairs
    return pair
