"""The signed loans of this PBX, by license type, and how long each of them lasts.

Decides, with no I/O and no clock, which loans are relied on. A master's answer has all loans of the PBX: a loan that it
does not have was returned. An answer with a loan that is not genuine, of another PBX, or older than the known loan of
its license type changes nothing.
Leaves to others: keeping loans on disk (`kept_state`), and when the client uses them (`client_state`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from licensemaster.signing.verified_lease import LeaseVerificationError, VerifiedLoan, verify_loan
from licensemaster.v1 import document_pb2


@dataclass(frozen=True, slots=True)
class RunningLoan:
    verified: VerifiedLoan
    end: float
    """The end of the loan, in seconds of the steady clock."""


class Loans:
    """The loans of one PBX. Times are seconds of the steady clock."""

    def __init__(self) -> None:
        self._loans: dict[str, RunningLoan] = {}
        self._serials: dict[str, int] = {}
        """The serial of the newest loan that was relied on under this lease, by license type."""

    def running(self, now: float) -> tuple[RunningLoan, ...]:
        """Return the loans that have not ended, sorted by license type."""
        return tuple(loan for _, loan in sorted(self._loans.items()) if now < loan.end)

    def to_show(self, now: float) -> list[document_pb2.SignedDocument]:
        """Return the signed loans that are shown to the master when a new lease is opened.

        A restored master answers with the loans in its backup. For a license type without a loan to show, that may be a
        loan older than one that was returned or has ended. The master counts that loan, so it is relied on.
        """
        running = self.running(now)
        self._serials = {loan.verified.license_type: loan.verified.serial for loan in running}
        return [loan.verified.document for loan in running]

    def seats(self, now: float) -> dict[str, int]:
        """Return how many seats are borrowed at a time, by license type."""
        return {loan.verified.license_type: loan.verified.seats for loan in self.running(now)}

    def next_end(self, now: float) -> float | None:
        """Return when the next loan ends, in seconds of the steady clock; None without a loan."""
        return min((loan.end for loan in self.running(now)), default=None)

    def receive(
        self,
        documents: Iterable[document_pb2.SignedDocument],
        *,
        pbx: str,
        trusted_keys: Collection[bytes],
        sent: float,
    ) -> bool:
        """Rely on the loans in the answer to a call made at `sent` and on no others; return whether the loans changed.
        Raises LeaseVerificationError if one of the loans must not be relied on; the loans from before stay."""
        loans = [verify_loan(document, pbx=pbx, trusted_keys=trusted_keys) for document in documents]
        for loan in loans:
            if loan.serial < (newest := self._serials.get(loan.license_type, 0)):
                raise LeaseVerificationError(
                    f"the loan of {loan.license_type} is older ({loan.serial}) than the one from before ({newest})"
                )
        before = {key: loan.verified.serial for key, loan in self._loans.items()}
        self._loans.clear()
        self.restore(RunningLoan(loan, sent + loan.duration_seconds) for loan in loans)
        return before != {key: loan.verified.serial for key, loan in self._loans.items()}

    def restore(self, loans: Iterable[RunningLoan]) -> None:
        """Rely on loans, such as those kept over a restart; the newest of each license type counts."""
        for loan in sorted(loans, key=lambda loan: loan.verified.serial):
            self._loans[loan.verified.license_type] = loan
            self._serials[loan.verified.license_type] = loan.verified.serial

    def end_by_wall_clock(self, *, now: float, wall: float) -> None:
        """Rely on no loan beyond its signed end by the wall clock, which reads `wall`."""
        self.restore(
            RunningLoan(loan.verified, min(loan.end, now + loan.verified.end_time - wall)) for loan in self.running(now)
        )

    def forget(self) -> None:
        """Rely on no loan any more, because another installation has taken over the PBX's lease."""
        self._loans.clear()
