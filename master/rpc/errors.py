"""The gRPC status of each failure, in one table, and the details by which a program knows what to do.

Every failure carries a google.rpc.ErrorInfo (reason, domain) and, where it fits, BadRequest or RetryInfo. Reason and
delay stand in plain trailing metadata too (`error-reason`, `retry-after-ms`), for clients without those protos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from licensemaster.values.toml_lines import path_text
from master.auth.callers.limits import CallerLimitError
from master.auth.callers.permissions import AccessDeniedError, Denial
from master.domain.agreements.ledger.price_file import PriceFileError
from master.domain.estate.contradictions import AllocationInvalidError
from master.domain.estate.project import ProjectInvalidError
from master.domain.leases.ending import NoLeaseToEndError
from master.domain.leases.leases import LeaseError
from master.domain.leases.loans import LoanError
from master.domain.planning.changes import PlanInvalidError
from master.service.leases.drill import NoPairError
from master.service.leases.learning import NotLearningError
from master.service.licenses.documents import DocumentProblem, DocumentRefusedError
from master.service.licenses.keys import DeviceKeptError, TooManyKeysError, UnknownDeviceError, UnknownKeyError
from master.service.monitoring.audit import AuditBrokenError, NoSuchEventError
from master.service.monitoring.webhooks import UnknownWebhookError, WebhookExistsError, WebhookTestUnderWayError
from master.service.projects.allocation import AllocationChangedError
from master.service.projects.removal import ProjectInUseError
from master.service.runtime.errors import QueueFullError, RequestIdTakenError, StoppedError
from master.service.runtime.names import UnknownNameError, UnknownPbxError, UnknownProjectError
from master.store.backends.database import StorageError, StorageProblem
from master.store.backends.problems import UnstorableError
from master.store.statements.events import AuditHeadMissingError
from master.values import Value, replace

DOMAIN = "license-master"


class InvalidArgumentError(Exception):
    """Raised where a field of a request is wrong."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.violations = [(field, reason)]


class MessageLateError(Exception):
    """Raised for a call whose message did not come in time."""


class UnknownMethodError(Exception):
    """Raised for a call of a method that does not exist."""


class TooManyStreamsError(Exception):
    """Raised where more WatchLease streams are open than this master serves."""

    retry_after_seconds = 5.0


class Failure(Value):
    code: grpc.StatusCode
    reason: str
    message: str
    retry_after_seconds: float = 0
    violations: Sequence[tuple[str, str]] = ()


DOCUMENT_CODES = {
    DocumentProblem.WRONG_KIND: grpc.StatusCode.INVALID_ARGUMENT,
    DocumentProblem.UNREADABLE: grpc.StatusCode.INVALID_ARGUMENT,
    DocumentProblem.CONTENT_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    DocumentProblem.BAD_SIGNATURE: grpc.StatusCode.PERMISSION_DENIED,
    DocumentProblem.UNKNOWN_KEY: grpc.StatusCode.PERMISSION_DENIED,
    DocumentProblem.KEY_DISTRUSTED: grpc.StatusCode.PERMISSION_DENIED,
    DocumentProblem.KEY_RETIRED: grpc.StatusCode.PERMISSION_DENIED,
    DocumentProblem.TOKEN_INVALID: grpc.StatusCode.PERMISSION_DENIED,
    DocumentProblem.OTHER_PROJECT: grpc.StatusCode.FAILED_PRECONDITION,
    DocumentProblem.OTHER_CATALOG: grpc.StatusCode.FAILED_PRECONDITION,
    DocumentProblem.OTHER_DEVICE: grpc.StatusCode.FAILED_PRECONDITION,
    DocumentProblem.NOT_YET_VALID: grpc.StatusCode.FAILED_PRECONDITION,
    DocumentProblem.EXPIRED: grpc.StatusCode.FAILED_PRECONDITION,
    DocumentProblem.REPLAYED: grpc.StatusCode.FAILED_PRECONDITION,
}
_UNPROVEN = {
    Denial.CERTIFICATE_UNREADABLE,
    Denial.CERTIFICATE_UNTRUSTED,
    Denial.CERTIFICATE_REVOKED,
    Denial.CERTIFICATE_EXPIRED,
}
_UNSTORABLE = "a number or text of the request is one that no database keeps; correct it"
_RETRY_STORAGE_SECONDS = 1.0
_MESSAGE_BYTES_MAX = 700
_REASON_BYTES_MAX = 500
_VIOLATIONS_BYTES_MAX = 3000
"""Clients refuse trailing metadata above 8 KiB, in which a message stands twice and other letters count threefold."""
_CODE = grpc.StatusCode
_PLAIN: Mapping[type[Exception], tuple[grpc.StatusCode, str]] = {
    InvalidArgumentError: (_CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    MessageLateError: (_CODE.DEADLINE_EXCEEDED, "MESSAGE_LATE"),
    UnknownMethodError: (_CODE.UNIMPLEMENTED, "UNKNOWN_METHOD"),
    ProjectInvalidError: (_CODE.INVALID_ARGUMENT, "PROJECT_INVALID"),
    PlanInvalidError: (_CODE.INVALID_ARGUMENT, "PLAN_INVALID"),
    AllocationInvalidError: (_CODE.INVALID_ARGUMENT, "ALLOCATION_INVALID"),
    AllocationChangedError: (_CODE.ABORTED, "ALLOCATION_CHANGED"),
    RequestIdTakenError: (_CODE.INVALID_ARGUMENT, "REQUEST_ID_TAKEN"),
    PriceFileError: (_CODE.INVALID_ARGUMENT, "PRICE_FILE_INVALID"),
    UnknownNameError: (_CODE.NOT_FOUND, "UNKNOWN_NAME"),
    UnknownPbxError: (_CODE.NOT_FOUND, "UNKNOWN_PBX"),
    UnknownProjectError: (_CODE.NOT_FOUND, "UNKNOWN_PROJECT"),
    UnknownDeviceError: (_CODE.NOT_FOUND, "UNKNOWN_DEVICE"),
    UnknownKeyError: (_CODE.NOT_FOUND, "UNKNOWN_KEY"),
    UnknownWebhookError: (_CODE.NOT_FOUND, "UNKNOWN_WEBHOOK"),
    WebhookExistsError: (_CODE.ALREADY_EXISTS, "WEBHOOK_EXISTS"),
    TooManyKeysError: (_CODE.FAILED_PRECONDITION, "TOO_MANY_KEYS"),
    DeviceKeptError: (_CODE.FAILED_PRECONDITION, "DEVICE_HOLDS_LICENSES"),
    AuditBrokenError: (_CODE.FAILED_PRECONDITION, "AUDIT_BROKEN"),
    AuditHeadMissingError: (_CODE.FAILED_PRECONDITION, "AUDIT_BROKEN"),
    NotLearningError: (_CODE.FAILED_PRECONDITION, "NOT_LEARNING"),
    NoPairError: (_CODE.FAILED_PRECONDITION, "NO_STANDBY_PAIR"),
    ProjectInUseError: (_CODE.FAILED_PRECONDITION, "PROJECT_IN_USE"),
    NoLeaseToEndError: (_CODE.FAILED_PRECONDITION, "NO_LEASE_TO_END"),
    CallerLimitError: (_CODE.RESOURCE_EXHAUSTED, "CALLER_LIMIT"),
    WebhookTestUnderWayError: (_CODE.RESOURCE_EXHAUSTED, "TEST_UNDER_WAY"),
    QueueFullError: (_CODE.RESOURCE_EXHAUSTED, "OVERLOADED"),
    TooManyStreamsError: (_CODE.RESOURCE_EXHAUSTED, "OVERLOADED"),
}
"""The status and reason of errors whose own text says what is wrong, and which say themselves when to try again."""


def failure_of(error: BaseException) -> Failure:
    match error:
        case AccessDeniedError(denial=denial):
            denied = _CODE.UNAUTHENTICATED if denial in _UNPROVEN else _CODE.PERMISSION_DENIED
            return Failure(denied, denial.name, str(error))
        case LoanError() | LeaseError():
            return Failure(_CODE.FAILED_PRECONDITION, error.problem.name, str(error))
        case DocumentRefusedError():
            return Failure(DOCUMENT_CODES[error.problem], f"DOCUMENT_{error.problem.name}", str(error))
        case NoSuchEventError():
            return Failure(_CODE.OUT_OF_RANGE, "NO_SUCH_EVENT", f"since_seq: {error}")
        case StoppedError():
            return Failure(_CODE.UNAVAILABLE, "DRAINING", str(error), _RETRY_STORAGE_SECONDS)
        case UnstorableError():
            violations = [("request", _UNSTORABLE)]
            return Failure(_CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT", _UNSTORABLE, violations=violations)
        case StorageError(problem=problem):
            message = f"{problem.value}; the master's log says more"  # what a driver says is not for callers
            if problem is StorageProblem.STORAGE_SCHEMA:
                return Failure(_CODE.FAILED_PRECONDITION, problem.name, message)
            busy = problem is StorageProblem.STORAGE_BUSY
            status = _CODE.RESOURCE_EXHAUSTED if busy else _CODE.UNAVAILABLE
            return Failure(status, problem.name, message, _RETRY_STORAGE_SECONDS)
    for kind in type(error).__mro__:
        if kind in _PLAIN:
            retry_after_seconds = getattr(error, "retry_after_seconds", 0)
            return Failure(*_PLAIN[kind], str(error)[:2000], retry_after_seconds, _violations(error))
    return Failure(_CODE.INTERNAL, "INTERNAL", "the master failed to serve this request; its log says why")


def _violations(error: BaseException) -> Sequence[tuple[str, str]]:
    match error:
        case InvalidArgumentError():
            return error.violations
        case ProjectInvalidError() | PlanInvalidError() | AllocationInvalidError():
            return [(path_text(violation.path), violation.reason) for violation in error.violations]
        case ProjectInUseError():
            return error.obstacles
        case RequestIdTakenError():
            return [("request_id", str(error))]
        case PriceFileError():
            return [("prices.text", str(error))]
        case UnknownNameError():
            return [(error.field, str(error))]
    return ()


async def abort(context: grpc.aio.ServicerContext[object, object], failure: Failure) -> None:
    """End a call with a failure and its details; raises what gRPC ends calls with."""
    failure = replace(failure, message=_cut(failure.message, _MESSAGE_BYTES_MAX))
    status = rpc_status.to_status(_status(failure))
    trailing = [*(status.trailing_metadata or ()), ("error-reason", failure.reason)]
    if failure.retry_after_seconds:
        trailing.append(("retry-after-ms", str(int(failure.retry_after_seconds * 1000))))
    await context.abort(failure.code, failure.message, tuple(trailing))


def let_go(error: BaseException) -> None:
    """Release what a reported failure keeps alive: a traceback holds every frame that it went through, with the request
    in it. An abort and its call hold each other until the garbage collector runs, which is rarely.
    """
    left = [error]
    while left:
        cause = left.pop()
        cause.__traceback__ = None
        left += [linked for linked in (cause.__cause__, cause.__context__) if linked is not None]
        cause.__cause__ = cause.__context__ = None


def _status(failure: Failure) -> status_pb2.Status:
    packed = [_packed(error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN))]
    if failure.violations:
        packed.append(_packed(_bad_request(failure.violations)))
    if failure.retry_after_seconds:
        delay = Duration()
        delay.FromMilliseconds(int(failure.retry_after_seconds * 1000))
        packed.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=failure.code.value[0], message=failure.message, details=packed)


def _bad_request(violations: Sequence[tuple[str, str]]) -> error_details_pb2.BadRequest:
    """Return the BadRequest of as many violations as fit, and of how many more there are."""
    bad_request = error_details_pb2.BadRequest()
    for index, (field, reason) in enumerate(violations):
        if bad_request.ByteSize() > _VIOLATIONS_BYTES_MAX - _REASON_BYTES_MAX:
            bad_request.field_violations.add(description=f"and {len(violations) - index} more")
            break
        bad_request.field_violations.add(field=_cut(field, 100), description=_cut(reason, _REASON_BYTES_MAX - 100))
    return bad_request


def _cut(text: str, bytes_max: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= bytes_max else f"{encoded[: bytes_max - 3].decode(errors='ignore')}…"


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
