"""Learning after a restore: nothing is granted beyond what PBXs prove."""

from __future__ import annotations

from master.values import Value


class Learning(Value):
    """A restored database does not know which seats are in use: nothing is granted beyond what PBXs prove."""

    since: float
    """When learning began; UNIX seconds, as `until`."""
    until: float
    """When every lease that was signed before has ended."""
    why: str

    def lasts(self, ends_by: float) -> bool:
        """Tell whether learning goes on: it waits until the leases of all PBXs have ended (`lease_time.LeaseTime`)."""
        return ends_by < self.until
