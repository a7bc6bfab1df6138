"""What lending seats would come to: decided by the code that lends them, on a copy, and compared with what is now."""

from __future__ import annotations

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import software_in_use
from master.domain.leases.loans import Loan
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.site_outlooks import SharedPool, SiteOutlook, site_outlooks
from master.service.batch.answers import LoanBorrowed
from master.service.batch.batch import answer_to
from master.service.batch.requests import BorrowSeats
from master.service.estates.estate_cache import EstateCache, read_estate
from master.store.backends.database import Tx
from master.store.statements.queries import leases_of_project
from master.store.statements.seats import counted_of_pool
from master.store.statements.waiting import waits_of_project
from master.values import Value


class LoanPreview(Value):
    """A loan as it would be made, and what each site could still get."""

    loan: Loan
    outlooks: tuple[SiteOutlook, ...]


def preview_loan(tx: Tx, estates: EstateCache, request: BorrowSeats, time: LeaseTime) -> LoanPreview:
    """Lend seats on a copy, and return how many seats each site could get before and after.
    Raises UnknownProjectError, UnknownPbxError, LeaseError or LoanError if the seats would not be lent."""
    estate = read_estate(tx, estates, request.pbx.project)
    eligibilities = EligibilityCache(estate)
    software = software_in_use(leases_of_project(tx, estate.project_id), time)

    def pools() -> dict[str, SharedPool]:
        """Return the pool of the license type, by that type; empty where no such pool exists."""
        return {
            key: SharedPool(
                eligibilities,
                pool_id,
                estate.allocation,
                counted=counted_of_pool(tx, pool_id, None),
                software=software,
                now=time.now,
            )
            for pool_id, key in estate.shared_pools.items()
            if key == estate.catalog.key_of(request.license_type)
        }

    before = pools()
    answer = answer_to(tx, estates, time, request)
    assert isinstance(answer, LoanBorrowed), "a copy has no answers of before"
    changes = [(before[key], after) for key, after in pools().items()]
    return LoanPreview(answer.loan, site_outlooks(changes, waits_of_project(tx, estate.project_id)))
