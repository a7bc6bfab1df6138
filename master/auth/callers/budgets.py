"""What one call may bring: one table beside that of who may call what. A method of neither may bring nothing.

Decides by method and role, before a message is parsed: how many bytes it may have, and how many elements (fields and
entries at any depth; an empty one is two bytes on the wire and a hundred in memory). Leaves to others: how many calls
there may be (`limits.py`), and what may be in a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from master.auth.callers.identity import Role
from master.auth.callers.permissions import TABLE
from master.values import Value, field, replace

KIB: Final = 1024


class Budget(Value):
    """The most bytes, elements and entries that the message of one call may have."""

    bytes_max: int
    elements_max: int
    entries_max: Mapping[str, int] = field(default_factory=dict)
    """How many entries a repeated field may have, by the field's path, e.g. "project.sites"."""


class SeatBudget(Value):
    """A budget for a message with seats: as long as messages may be, with elements for as many seats as
    a call takes.
    """

    beside: int = 100
    """How many elements the message may have besides the seats."""


_NAMES: Final = Budget(32 * KIB, 200)
"""A few names, a reason, a page token."""
_LEASE: Final = Budget(64 * KIB, 1_000)
"""Who renews, and a receipt for each standby lease."""
_PROOF: Final = Budget(256 * KIB, 4_000)
"""A signed lease, and what is in use, for a thousand license types."""
_OPENING: Final = SeatBudget(beside=_PROOF.elements_max)
"""As much as `_PROOF`, and the first seats."""
_LICENSES: Final = Budget(256 * KIB, 2_000)
"""A thousand licenses by name."""
_FILE: Final = Budget(1024 * KIB, 200)
"""A vendor's signed file of licenses; its content is one element."""
_DOCUMENT: Final = Budget(64 * KIB, 200)
"""Any other signed document."""
_ORDER: Final = Budget(512 * KIB, 4_000)
"""An order for a thousand licenses, and a price file."""
_PLAN: Final = Budget(512 * KIB, 20_000)
"""A hundred changes, each with the licenses or the seats that it is about."""
_PROJECT: Final = Budget(
    256 * 1024 * KIB,
    300_000,
    MappingProxyType(
        {"project.sites": 12_000, "project.devices": 12_000, "project.pbxs": 12_000, "project.licenses": 20_000}
    ),
)
"""Ten thousand sites, each with its PBX, its device and a few licenses; as long as messages may be."""
_ALLOCATION: Final = Budget(
    4096 * KIB,
    100_000,
    MappingProxyType({"allocation.groups": 2_000, "allocation.rules": 2_000, "allocation.types": 1_000}),
)
"""Ten thousand sites in groups, and a rule for each group."""
_QUESTION: Final = Budget(4 * KIB, 20)
_SEATS: Final = SeatBudget()

_LEASES: Final = "licensemaster.v1.LeaseService"
_LICENSING: Final = "licensemaster.v1.LicenseService"
_AGREEMENTS: Final = "licensemaster.v1.AgreementService"

BUDGETS: Final[Mapping[str, Budget | SeatBudget]] = MappingProxyType(
    {
        **dict.fromkeys(TABLE, _NAMES),
        f"{_LEASES}/OpenLease": _OPENING,
        f"{_LEASES}/TakeOverLease": _PROOF,
        f"{_LEASES}/RenewLease": _LEASE,
        f"{_LEASES}/AcquireSeats": _SEATS,
        f"{_LEASES}/ReturnSeats": _SEATS,
        f"{_LEASES}/SyncSeats": _SEATS,
        f"{_LICENSING}/ImportLicenses": _FILE,
        f"{_LICENSING}/BindLicenses": _LICENSES,
        f"{_LICENSING}/ReleaseLicenses": _LICENSES,
        f"{_LICENSING}/CancelReleases": _LICENSES,
        f"{_LICENSING}/ApproveReleases": _LICENSES,
        f"{_LICENSING}/SubmitCertificate": _DOCUMENT,
        f"{_LICENSING}/TrustVendorKey": _DOCUMENT,
        f"{_LICENSING}/EnrollDevice": _DOCUMENT,
        "licensemaster.v1.ProjectService/ApplyProject": _PROJECT,
        "licensemaster.v1.AllocationService/ApplyAllocation": _ALLOCATION,
        "licensemaster.v1.StatusService/ExplainSeats": _SEATS,
        "licensemaster.v1.PlanService/PlanChanges": _PLAN,
        f"{_AGREEMENTS}/PlaceOrder": _ORDER,
        f"{_AGREEMENTS}/QuoteOrder": _ORDER,
        "grpc.health.v1.Health/Check": _QUESTION,
        "grpc.health.v1.Health/List": _QUESTION,
        "grpc.health.v1.Health/Watch": _QUESTION,
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _QUESTION,
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _QUESTION,
    }
)
"""Most calls bring a few names; calls that bring something else are listed."""
BY_ROLE: Final[Mapping[tuple[str, Role], Budget]] = MappingProxyType(
    {
        (f"{_LICENSING}/SubmitCertificate", Role.PBX): Budget(32 * KIB, 200),
        (f"{_LICENSING}/EnrollDevice", Role.PBX): Budget(32 * KIB, 200),
    }
)
"""The budgets of roles that have less than others: a PBX brings documents of its own device, about one license or one
key.
"""


class Budgets(Value):
    """The table of budgets, completed by this master's settings."""

    message_bytes_max: int
    seats_per_call_max: int

    def of(self, method: str, role: Role | None) -> Budget:
        """Return the budget of a call by a role (None: nobody proves who calls); an empty budget where the table has no
        such call.
        """
        budget = BUDGETS.get(method)
        if budget is None or (role is not None and role not in TABLE[method].roles):
            return Budget(0, 0)
        if role is not None:
            budget = BY_ROLE.get((method, role), budget)
        if isinstance(budget, SeatBudget):
            return Budget(self.message_bytes_max, self.seats_per_call_max + budget.beside)
        return replace(budget, bytes_max=min(budget.bytes_max, self.message_bytes_max))
