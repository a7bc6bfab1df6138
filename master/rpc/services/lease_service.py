"""LeaseService: what slave PBXs call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

from licensemaster.v1 import document_pb2, lease_pb2, lease_pb2_grpc
from master.domain.leases.notices import Notice
from master.metrics import Metrics
from master.rpc.admission.authorizer import proven_pbx
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.admission.large_requests import Aside
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing, refusals, seats_asked
from master.rpc.convert.signed_documents import SignedDocuments
from master.rpc.errors import TooManyStreamsError
from master.rpc.repeatable import Repeatable
from master.service.batch import answers
from master.service.batch import requests as ask
from master.service.leases.leases import Leases
from master.service.runtime.names import PbxName
from master.signing import Signer
from master.values import Value


class LeaseLimits(Value):
    seats_per_call_max: int
    streams_max: int
    """The most WatchLease streams of all callers together."""


class LeaseService(lease_pb2_grpc.LeaseServiceServicer):
    def __init__(
        self,
        *,
        leases: Leases,
        signer: Signer,
        clock: Callable[[], float],
        metrics: Metrics,
        aside: Aside,
        limits: LeaseLimits,
    ) -> None:
        self._leases = leases
        self._signer = signer
        self._documents = SignedDocuments(signer)
        self._clock = clock
        self._metrics = metrics
        self._aside = aside
        self._seats_max = limits.seats_per_call_max
        self._streams_max = limits.streams_max
        self._streams = 0

    async def OpenLease(self, request: lease_pb2.OpenLeaseRequest, context: Context) -> lease_pb2.OpenLeaseResponse:
        name = incoming.pbx_name(request.pbx)
        proof = None
        if request.HasField("proof"):
            proof = incoming.lease_proof(request.proof, pbx=name, public_key=self._signer.public_key)
        count = len(request.seats)
        asked = await self._aside.run(count, lambda: seats_asked.wants(request.seats, least=0, most=self._seats_max))
        granted = await self._leases.open_lease(
            ask.OpenLease(
                pbx=name,
                caller=caller_of_call.get(),
                instance_id=incoming.text("instance_id", request.instance_id),
                request_id=incoming.text("request_id", request.request_id),
                software=incoming.software("software_version", request.software_version),
                proof=proof,
                wants=asked.items,
                waits=request.wait,
                unanswered_calls=incoming.whole_number("unanswered_calls", request.unanswered_calls),
                blocks=incoming.block_uses(request.blocks),
                loans=incoming.signed_loans(request.loans, pbx=name, public_key=self._signer.public_key),
            )
        )
        outcomes = asked.in_order(granted.acquired.outcomes if granted.acquired is not None else [])
        response = lease_pb2.OpenLeaseResponse(
            lease=self._lease(name, granted),
            notices=self._notices(name, granted.notices),
            seats_held=granted.held_before,
            standby_leases=self._offers(granted),
            loans=self._loans(name, granted),
        )
        return await self._aside.run(count, lambda: refusals.with_results(response, outcomes)) if count else response

    async def TakeOverLease(
        self, request: lease_pb2.TakeOverLeaseRequest, context: Context
    ) -> lease_pb2.TakeOverLeaseResponse:
        standby = incoming.pbx_name(request.standby, "standby")
        primary = incoming.pbx_name(request.primary, "primary")
        carried = None
        if request.HasField("carried_offline"):
            carried = incoming.carried_offline(
                request.carried_offline,
                standby=standby,
                primary=primary,
                public_key=self._signer.public_key,
                now=self._clock(),
            )
        answer = await self._leases.take_over_lease(
            ask.TakeOverLease(
                pbx=primary,
                caller=caller_of_call.get(),
                standby=standby,
                standby_epoch=incoming.epoch(request.standby_epoch, "standby_epoch"),
                instance_id=incoming.text("instance_id", request.instance_id),
                request_id=incoming.text("request_id", request.request_id),
                software=incoming.software("software_version", request.software_version),
                reason=incoming.optional_text("reason", request.reason),
                force=request.force,
                carried=carried,
            )
        )
        if isinstance(answer, answers.TakeOverRefused):
            return lease_pb2.TakeOverLeaseResponse(problems=outgoing.standby_problems(answer.problems))
        return lease_pb2.TakeOverLeaseResponse(
            lease=self._lease(primary, answer),
            notices=self._notices(primary, answer.notices),
            seats_held=sum(answer.holdings.values()),
        )

    async def RenewLease(self, request: lease_pb2.RenewLeaseRequest, context: Context) -> lease_pb2.RenewLeaseResponse:
        name = incoming.pbx_name(request.pbx)
        granted = await self._leases.renew_lease(
            ask.RenewLease(
                pbx=name,
                caller=caller_of_call.get(),
                proven=proven_pbx(),
                epoch=incoming.epoch(request.epoch),
                receipts=incoming.receipts(request.standby_receipts, name.project),
                knows_end=incoming.moment("end_time", request.end_time),
                blocks=incoming.block_uses(request.blocks),
                block_serial=incoming.whole_number("block_serial", request.block_serial),
            )
        )
        return lease_pb2.RenewLeaseResponse(
            lease=self._lease(name, granted),
            notices=self._notices(name, granted.notices),
            standby_leases=self._offers(granted),
            loans=self._loans(name, granted),
        )

    async def CloseLease(self, request: lease_pb2.CloseLeaseRequest, context: Context) -> lease_pb2.CloseLeaseResponse:
        closed = await self._leases.close_lease(
            ask.CloseLease(
                pbx=incoming.pbx_name(request.pbx),
                caller=caller_of_call.get(),
                proven=proven_pbx(),
                epoch=incoming.epoch(request.epoch),
            )
        )
        return lease_pb2.CloseLeaseResponse(seats_returned=closed.seats_returned)

    async def EndLease(self, request: lease_pb2.EndLeaseRequest, context: Context) -> lease_pb2.EndLeaseResponse:
        name = incoming.pbx_name(request.pbx)

        def ended(lease_ended: answers.LeaseEnded) -> lease_pb2.EndLeaseResponse:
            return outgoing.lease_ended(name, lease_ended)

        repeatable = Repeatable(request, lease_pb2.EndLeaseResponse, ended)
        asked = ask.EndLease(
            pbx=name, caller=caller_of_call.get(), reason=incoming.given_reason(request.reason), key=repeatable.key()
        )
        return repeatable.response(await self._leases.end_lease(asked, dry_run=request.dry_run))

    async def AcquireSeats(
        self, request: lease_pb2.AcquireSeatsRequest, context: Context
    ) -> lease_pb2.AcquireSeatsResponse:
        count = len(request.seats)
        asked = await self._aside.run(count, lambda: seats_asked.wants(request.seats, most=self._seats_max))
        acquired = await self._leases.acquire_seats(
            ask.AcquireSeats(
                pbx=incoming.pbx_name(request.pbx),
                caller=caller_of_call.get(),
                proven=proven_pbx(),
                epoch=incoming.epoch(request.epoch),
                unanswered_calls=incoming.whole_number("unanswered_calls", request.unanswered_calls),
                wants=asked.items,
                waits=request.wait,
            )
        )
        return await self._aside.run(
            count, lambda: refusals.with_results(lease_pb2.AcquireSeatsResponse(), asked.in_order(acquired.outcomes))
        )

    async def ReturnSeats(
        self, request: lease_pb2.ReturnSeatsRequest, context: Context
    ) -> lease_pb2.ReturnSeatsResponse:
        count = len(request.seats)
        asked = await self._aside.run(count, lambda: seats_asked.seat_keys(request.seats, most=self._seats_max))
        returned = await self._leases.return_seats(
            ask.ReturnSeats(
                pbx=incoming.pbx_name(request.pbx),
                caller=caller_of_call.get(),
                proven=proven_pbx(),
                epoch=incoming.epoch(request.epoch),
                unanswered_calls=incoming.whole_number("unanswered_calls", request.unanswered_calls),
                keys=asked.items,
            )
        )
        return await self._aside.run(
            count,
            lambda: lease_pb2.ReturnSeatsResponse(results=refusals.return_results(asked.in_order(returned.outcomes))),
        )

    async def SyncSeats(self, request: lease_pb2.SyncSeatsRequest, context: Context) -> lease_pb2.SyncSeatsResponse:
        count = len(request.seats)
        asked = await self._aside.run(count, lambda: seats_asked.wants(request.seats, least=0, most=self._seats_max))
        synced = await self._leases.sync_seats(
            ask.SyncSeats(
                pbx=incoming.pbx_name(request.pbx),
                caller=caller_of_call.get(),
                proven=proven_pbx(),
                epoch=incoming.epoch(request.epoch),
                unanswered_calls=incoming.whole_number("unanswered_calls", request.unanswered_calls),
                wants=asked.items,
                waits=request.wait,
            )
        )

        def answer() -> lease_pb2.SyncSeatsResponse:
            messages = refusals.RefusalMessages.of_many([refused for _, refused in synced.kept])
            response = lease_pb2.SyncSeatsResponse(
                seats_returned=synced.seats_returned,
                kept=[
                    lease_pb2.KeptSeat(seat=outgoing.seat_message(seat), refused=messages.of(refused))
                    for seat, refused in synced.kept
                ],
            )
            return refusals.with_results(response, asked.in_order(synced.outcomes))

        return await self._aside.run(count + len(synced.kept), answer)

    async def WatchLease(
        self, request: lease_pb2.WatchLeaseRequest, context: Context
    ) -> AsyncIterator[lease_pb2.WatchLeaseResponse]:
        if self._streams >= self._streams_max:
            raise TooManyStreamsError(f"{self._streams} streams are open; renewals carry the same notices")
        self._streams += 1
        self._metrics.watch_streams.inc()
        try:
            name = incoming.pbx_name(request.pbx)
            epoch = incoming.epoch(request.epoch)
            async with aclosing(self._leases.watch_lease(name, epoch, watcher=proven_pbx())) as stream:
                async for notices in stream:
                    yield lease_pb2.WatchLeaseResponse(notices=self._notices(name, notices))
        finally:
            self._streams -= 1
            self._metrics.watch_streams.dec()

    def _notices(self, name: PbxName, notices: Sequence[Notice]) -> list[lease_pb2.Notice]:
        return outgoing.notice_messages(notices, lambda license: self._documents.release_request(name.project, license))

    def _offers(self, granted: answers.LeaseGranted) -> list[lease_pb2.StandbyLeaseOffer]:
        offers = []
        for offer in granted.offers:
            message = lease_pb2.StandbyLeaseOffer(primary=str(offer.primary))
            if offer.problems:
                message.problems.extend(outgoing.standby_problems(offer.problems))
            else:
                terms = outgoing.standby_lease_terms(offer)
                message.signed.CopyFrom(self._signer.sign(document_pb2.DOCUMENT_KIND_STANDBY_LEASE, terms))
            offers.append(message)
        return offers

    def _loans(self, name: PbxName, granted: answers.LeaseGranted) -> list[document_pb2.SignedDocument]:
        now = self._clock()
        return [outgoing.signed_loan(self._signer, name, loan, now) for loan in granted.loans]

    def _lease(self, name: PbxName, granted: answers.LeaseGranted) -> lease_pb2.Lease:
        terms = outgoing.lease_terms(
            name, granted.lease, granted.pbx.pace.grace_seconds, dict(granted.holdings), granted.blocks, self._clock()
        )
        return lease_pb2.Lease(
            pbx=str(name),
            epoch=granted.lease.epoch,
            signed=self._signer.sign(document_pb2.DOCUMENT_KIND_LEASE, terms),
            public_key=self._signer.public_key,
            renew_after_seconds=self._leases.renew_after_seconds(granted.pbx),
        )
