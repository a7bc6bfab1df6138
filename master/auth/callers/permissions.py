"""Who may call what: one table, and the verdict on a call. A method that is not in it is nobody's.

Decides by role, by the project a caller is confined to, and, for a PBX, by the name in the request. Leaves to
others: who the caller is, and which PBX is the standby of which, which only the database knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Final

from licensemaster.values import resource
from master.auth.callers.identity import Identity, Role
from master.values import Value


class Denial(Enum):
    """Why a caller is refused; the name is the reason on the wire."""

    CERTIFICATE_UNREADABLE = "the certificate names nobody"
    CERTIFICATE_UNTRUSTED = "no authority that may stands behind the certificate"
    CERTIFICATE_REVOKED = "the certificate was revoked"
    CERTIFICATE_EXPIRED = "the certificate ended"
    ROLE_FORBIDDEN = "this role may not call this"
    NOT_YOUR_PROJECT = "the caller is confined to another project"
    NOT_YOUR_PBX = "a PBX acts for itself only"


class AccessDeniedError(Exception):
    """A call that its caller may not make. The text says nothing that the caller did not know."""

    def __init__(self, denial: Denial, message: str) -> None:
        super().__init__(message)
        self.denial = denial


class Access(Value):
    """Who may call a method, and which fields of its request name whom the call is about."""

    roles: frozenset[Role]
    about: tuple[str, ...] = ()
    """Fields that name a project or something in it: the first must be the calling PBX itself, each must be in its
    project. None where the request names nothing: then the answer holds nothing that is not the caller's own."""
    by_standby: bool = False
    """Whether a standby may call the method for its primary, under the lease that it took over (F5)."""


_EVERYBODY: Final = frozenset(Role)
_OPERATORS: Final = frozenset({Role.OPERATOR})
_READERS: Final = frozenset({Role.OPERATOR, Role.VIEWER})
_PBXS: Final = frozenset({Role.PBX})

_OF_A_LEASE: Final = Access(_PBXS, ("pbx",), by_standby=True)
_READS: Final = Access(_READERS, ("project",))
_CHANGES: Final = Access(_OPERATORS, ("project",))
_NAMES_WEBHOOK: Final = Access(_OPERATORS, ("name",))
_PAPER: Final = Access(frozenset({Role.PBX, Role.OPERATOR}))
"""A signed document says for itself whose it is; who may hand it in is judged after it is read (`check_confined`)."""

TABLE: Final[Mapping[str, Access]] = MappingProxyType(
    {
        "licensemaster.v1.LeaseService/OpenLease": Access(_PBXS, ("pbx",)),
        "licensemaster.v1.LeaseService/TakeOverLease": Access(_PBXS, ("standby", "primary")),
        "licensemaster.v1.LeaseService/RenewLease": _OF_A_LEASE,
        "licensemaster.v1.LeaseService/CloseLease": _OF_A_LEASE,
        "licensemaster.v1.LeaseService/EndLease": Access(_OPERATORS, ("pbx",)),
        "licensemaster.v1.LeaseService/AcquireSeats": _OF_A_LEASE,
        "licensemaster.v1.LeaseService/ReturnSeats": _OF_A_LEASE,
        "licensemaster.v1.LeaseService/SyncSeats": _OF_A_LEASE,
        "licensemaster.v1.LeaseService/WatchLease": _OF_A_LEASE,
        "licensemaster.v1.LicenseService/ImportLicenses": Access(_OPERATORS | {Role.VENDOR}, ("project",)),
        "licensemaster.v1.LicenseService/ListLicenses": _READS,
        "licensemaster.v1.LicenseService/BindLicenses": _CHANGES,
        "licensemaster.v1.LicenseService/ReleaseLicenses": _CHANGES,
        "licensemaster.v1.LicenseService/CancelReleases": _CHANGES,
        "licensemaster.v1.LicenseService/ApproveReleases": _CHANGES,
        "licensemaster.v1.LicenseService/SubmitCertificate": _PAPER,
        "licensemaster.v1.LicenseService/TrustVendorKey": _CHANGES,
        "licensemaster.v1.LicenseService/DistrustVendorKey": _CHANGES,
        "licensemaster.v1.LicenseService/ListVendorKeys": _READS,
        "licensemaster.v1.LicenseService/CreateEnrollment": Access(_OPERATORS, ("device",)),
        "licensemaster.v1.LicenseService/EnrollDevice": _PAPER,
        "licensemaster.v1.LicenseService/ListDevices": _READS,
        "licensemaster.v1.ProjectService/ApplyProject": Access(_OPERATORS, ("project.name",)),
        "licensemaster.v1.ProjectService/DeleteProject": Access(_OPERATORS, ("name",)),
        "licensemaster.v1.ProjectService/GetProject": Access(_READERS, ("name",)),
        "licensemaster.v1.ProjectService/ListProjects": Access(_READERS),
        "licensemaster.v1.ProjectService/EndLearning": _CHANGES,
        "licensemaster.v1.AllocationService/ApplyAllocation": _CHANGES,
        "licensemaster.v1.AllocationService/GetAllocation": _READS,
        "licensemaster.v1.AllocationService/ListWaiting": _READS,
        "licensemaster.v1.AllocationService/DropWaiting": Access(_OPERATORS, ("pbx",)),
        "licensemaster.v1.LoanService/BorrowSeats": Access(_PBXS | _OPERATORS, ("pbx",)),
        "licensemaster.v1.LoanService/PreviewLoan": Access(_READERS, ("pbx",)),
        "licensemaster.v1.LoanService/ReturnLoan": Access(_PBXS | _OPERATORS, ("pbx",)),
        "licensemaster.v1.LoanService/ListLoans": _READS,
        "licensemaster.v1.StandbyService/CheckStandby": _READS,
        "licensemaster.v1.StandbyService/DrillStandby": Access(_OPERATORS, ("standby",)),
        "licensemaster.v1.StatusService/GetStatus": _READS,
        "licensemaster.v1.StatusService/ListSeats": _READS,
        "licensemaster.v1.StatusService/ListLeases": _READS,
        "licensemaster.v1.StatusService/ExplainSeats": Access(_READERS | {Role.PBX}, ("pbx",)),
        "licensemaster.v1.StatusService/ListEvents": _READS,
        "licensemaster.v1.AuditService/ExportEvents": _READS,
        "licensemaster.v1.AuditService/VerifyAudit": _READS,
        "licensemaster.v1.PlanService/PlanChanges": _READS,
        "licensemaster.v1.ReportService/GetUsageReport": _READS,
        "licensemaster.v1.WebhookService/AddWebhook": _NAMES_WEBHOOK,
        "licensemaster.v1.WebhookService/ListWebhooks": _CHANGES,
        "licensemaster.v1.WebhookService/RemoveWebhook": _NAMES_WEBHOOK,
        "licensemaster.v1.WebhookService/TestWebhook": _NAMES_WEBHOOK,
        "licensemaster.v1.WebhookService/ListDeadMessages": _CHANGES,
        "licensemaster.v1.WebhookService/RetryDeadMessages": _CHANGES,
        "licensemaster.v1.AgreementService/PlaceOrder": _CHANGES,
        "licensemaster.v1.AgreementService/QuoteOrder": _READS,
        "licensemaster.v1.AgreementService/ListAgreements": _READS,
        "licensemaster.v1.AgreementService/ListEntries": _READS,
        "licensemaster.v1.AgreementService/CheckUpgrade": Access(_READERS | {Role.PBX}, ("server",)),
        "licensemaster.v1.AgreementService/ListEndings": _READS,
        "licensemaster.v1.AgreementService/GetRights": _READS,
        "grpc.health.v1.Health/Check": Access(_EVERYBODY),
        "grpc.health.v1.Health/List": Access(_EVERYBODY),
        "grpc.health.v1.Health/Watch": Access(_EVERYBODY),
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Access(_READERS),
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access(_READERS),
    }
)
METRICS_PAGE: Final = frozenset({Role.METRICS, Role.OPERATOR, Role.VIEWER})
"""The roles that may read the metrics page; callers confined to a project may not, as the page shows all projects."""


def forbidden(identity: Identity, method: str) -> bool:
    """Tell whether a method is not for a caller's role, whatever its request says; this is known before a request is
    read.
    """
    access = TABLE.get(method)
    return access is None or identity.role not in access.roles


def denial(identity: Identity, method: str, request: object) -> Denial | None:
    """Return why a call is refused; None where the caller may make it.

    What the request names need not exist: the verdict is the same, so that it shows nobody what exists.
    """
    if forbidden(identity, method):
        return Denial.ROLE_FORBIDDEN
    if identity.project is None:
        return None
    named = [attrgetter(field)(request) for field in TABLE[method].about]
    if {*map(project_in, named)} - {identity.project}:
        return Denial.NOT_YOUR_PBX if identity.role is Role.PBX else Denial.NOT_YOUR_PROJECT
    if identity.role is Role.PBX and named and resource(named[0]) != identity.resource:
        return Denial.NOT_YOUR_PBX
    return None


def stood_in_for(identity: Identity, method: str, request: object) -> str | None:
    """Return the other PBX of the same project that a PBX's call is for, where that PBX's standby may make the call.
    Whether the caller is its standby, the project says; the epoch of the lease fences the caller off once the other PBX
    is back.
    """
    access = TABLE.get(method)
    if access is None or not access.by_standby or identity.role is not Role.PBX:
        return None
    named = resource(attrgetter(access.about[0])(request))
    return named if project_in(named) == identity.project else None


def check_confined(identity: Identity | None, project: str) -> None:
    """Check that a caller may act on a project that only a signed document names.
    Raises AccessDeniedError if the caller is confined to another project."""
    if identity is None or identity.project in (None, project):
        return
    denial = Denial.NOT_YOUR_PBX if identity.role is Role.PBX else Denial.NOT_YOUR_PROJECT
    raise AccessDeniedError(denial, f"{identity.uri} is confined to its project; the document must be of that one")


def project_in(name: str) -> str:
    """Return the project that a resource name begins with; a bare name is a project's own. Callers that act on the name
    read it the same way.
    """
    parts = resource(name).split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "projects" else "/".join(parts)


def may_read_metrics(identity: Identity) -> bool:
    return identity.role in METRICS_PAGE and identity.project is None
