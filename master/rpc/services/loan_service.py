"""LoanService: seats borrowed for days, by a PBX or for it."""

from __future__ import annotations

from collections.abc import Callable

from licensemaster.v1 import loan_pb2 as api
from licensemaster.v1 import loan_pb2_grpc
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message, timestamp
from master.rpc.repeatable import Repeatable
from master.service.batch import answers
from master.service.batch import requests as ask
from master.service.leases.committer import Committer
from master.service.leases.leases import Leases
from master.service.runtime.request_answers import RequestKey
from master.signing import Signer

_SEATS_MAX = 100_000
_ASKED_ONLY: RequestKey[answers.LoanBorrowed] = RequestKey(
    kind="PreviewLoan", request_id="", fingerprint="", encode=lambda _: b""
)


class LoanService(loan_pb2_grpc.LoanServiceServicer):
    def __init__(self, leases: Leases, committer: Committer, *, signer: Signer, clock: Callable[[], float]) -> None:
        self._leases = leases
        self._committer = committer
        self._signer = signer
        self._clock = clock

    async def BorrowSeats(self, request: api.BorrowSeatsRequest, context: Context) -> api.BorrowSeatsResponse:
        name = incoming.pbx_name(request.pbx)

        def borrowed(answer: answers.LoanBorrowed) -> api.BorrowSeatsResponse:
            signed = outgoing.signed_loan(self._signer, name, answer.loan, self._clock())
            return api.BorrowSeatsResponse(loan=outgoing.loan_message(name, answer.loan), signed=signed)

        repeatable = Repeatable(request, api.BorrowSeatsResponse, borrowed)
        asked = self._borrowing(request, key=repeatable.key())
        return repeatable.response(await self._committer.submit(asked))

    async def PreviewLoan(self, request: api.PreviewLoanRequest, context: Context) -> api.PreviewLoanResponse:
        asked = self._borrowing(request)
        preview = await self._leases.preview_loan(asked)
        return message(api.PreviewLoanResponse, preview, loan=outgoing.loan_message(asked.pbx, preview.loan))

    async def ReturnLoan(self, request: api.ReturnLoanRequest, context: Context) -> api.ReturnLoanResponse:
        name = incoming.pbx_name(request.pbx)

        def returned(answer: answers.LoanReturned) -> api.ReturnLoanResponse:
            response = api.ReturnLoanResponse(seats_at_risk=answer.seats_at_risk)
            if answer.loan is not None:
                response.loan.CopyFrom(outgoing.loan_message(name, answer.loan))
                response.signed.CopyFrom(outgoing.signed_loan(self._signer, name, answer.loan, self._clock()))
            if answer.risk_ends_at is not None:
                response.risk_end_time.CopyFrom(timestamp(answer.risk_ends_at))
            return response

        repeatable = Repeatable(request, api.ReturnLoanResponse, returned)
        asked = ask.ReturnLoan(
            pbx=name,
            caller=caller_of_call.get(),
            license_type=incoming.text("license_type", request.license_type),
            seats_kept=incoming.whole_number("seats_kept", request.seats_kept, most=_SEATS_MAX),
            released_serial=incoming.whole_number("released_serial", request.released_serial),
            reason=incoming.reason(request.reason),
            key=repeatable.key(),
        )
        return repeatable.response(await self._committer.submit(asked))

    async def ListLoans(self, request: api.ListLoansRequest, context: Context) -> api.ListLoansResponse:
        loans = await self._leases.list_loans(incoming.project_name(request.project))
        return api.ListLoansResponse(loans=[outgoing.loan_message(name, loan) for name, loan in loans])

    def _borrowing(
        self,
        request: api.BorrowSeatsRequest | api.PreviewLoanRequest,
        *,
        key: RequestKey[answers.LoanBorrowed] = _ASKED_ONLY,
    ) -> ask.BorrowSeats:
        ends_at = incoming.moment("end_time", request.end_time)
        if ends_at <= self._clock():
            raise InvalidArgumentError("end_time", "must be a moment to come")
        return ask.BorrowSeats(
            pbx=incoming.pbx_name(request.pbx),
            caller=caller_of_call.get(),
            license_type=incoming.text("license_type", request.license_type),
            seats=incoming.whole_number("seats", request.seats, least=1, most=_SEATS_MAX),
            ends_at=ends_at,
            reason=incoming.reason(request.reason),
            key=key,
        )
