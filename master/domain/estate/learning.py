"""Learning after a restore: nothing is granted beyond what PBXs prove."""

from __future__ import annotations

from master.values import Value


class Learning(Value):
    """The database was restored and does not know what is out: nothing is granted beyond what PBXs prove."""

    since: float
    """UNIX seconds, as `until`."""
    until: float
    """When every lease that was signed before has ended."""
    why: str

    def lasts(self, ends_by: float) -> bool:
        """Whether learning goes on; it is the leases of others that it waits for (`lease_time.LeaseTime`)."""
        return ends_by < self.until
