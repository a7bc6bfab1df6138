"""What this PBX has borrowed: signed loans, by license type, and how long each of them lasts.

Decides, with no I/O and no clock, which loans are relied on. What a master sends is all that it lends: a loan that is
not among it was returned. An answer with a loan that is not genuine, of another PBX, or older than the one that is
known changes nothing.
Leaves to others: keeping them on disk (`kept_state`), and when they are gone by (`client_state`).
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
    """By the steady clock."""


class Loans:
    """The loans of one PBX. Times are seconds of the steady clock."""

    def __init__(self) -> None:
        self._loans: dict[str, RunningLoan] = {}
        self._serials: dict[str, int] = {}
        """The newest loan of each license type that was relied on under this lease."""

    def running(self, now: float) -> tuple[RunningLoan, ...]:
        """Return the loans that are not over, by license type."""
        return tuple(loan for _, loan in sorted(self._loans.items()) if now < loan.end)

    def to_show(self, now: float) -> list[document_pb2.SignedDocument]:
        """Return the signed loans that a new lease is opened with.

        A master that was restored answers with what its backup has: of a type of which there is nothing to show that
        may be a loan from before another that was returned or is over. It counts it, so it is relied on.
        """
        running = self.running(now)
        self._serials = {loan.verified.license_type: loan.verified.serial for loan in running}
        return [loan.verified.document for loan in running]

    def seats(self, now: float) -> dict[str, int]:
        """Return how many seats are borrowed, by license type."""
        return {loan.verified.license_type: loan.verified.seats for loan in self.running(now)}

    def next_end(self, now: float) -> float | None:
        """Return when the next loan is over; None without one."""
        return min((loan.end for loan in self.running(now)), default=None)

    def receive(
        self,
        documents: Iterable[document_pb2.SignedDocument],
        *,
        pbx: str,
        trusted_keys: Collection[bytes],
        sent: float,
    ) -> bool:
        """Rely on the loans that came in answer to a call made at `sent`, and no others; return whether they changed.

        Raises:
            LeaseVerificationError: one of them must not be relied on; those from before stay.
        """
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
        """Rely on loans, as from before a restart; of a license type the newest counts."""
        for loan in sorted(loans, key=lambda loan: loan.verified.serial):
            self._loans[loan.verified.license_type] = loan
            self._serials[loan.verified.license_type] = loan.verified.serial

    def forget(self) -> None:
        """Rely on no loan any more: another installation has them."""
        self._loans.clear()
