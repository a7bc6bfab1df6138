"""The error table: every exception that can leave the layers below has a row of its own."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import grpc
import pytest

from master import service
from master.auth.callers.limits import CallerLimitError
from master.auth.callers.permissions import AccessDeniedError, Denial
from master.domain.agreements.ledger.price_file import PriceFileError
from master.domain.catalog.catalog import UnknownLicenseNameError
from master.domain.estate.contradictions import AllocationInvalidError
from master.domain.estate.project import ProjectInvalidError, Violation
from master.domain.leases.ending import NoLeaseToEndError
from master.domain.leases.leases import LeaseError, LeaseProblem
from master.domain.leases.loans import LoanError, LoanProblem
from master.domain.planning.changes import PlanInvalidError
from master.process.attempts import StillLostError
from master.rpc import errors
from master.rpc.errors import (
    DOCUMENT_CODES,
    InvalidArgumentError,
    MessageLateError,
    TooManyStreamsError,
    UnknownMethodError,
    failure_of,
)
from master.service.batch.answers import DatabaseOutdatedError
from master.service.leases.drill import NoPairError, _Failed
from master.service.leases.learning import NotLearningError
from master.service.licenses.documents import DocumentProblem, DocumentRefusedError
from master.service.licenses.keys import DeviceKeptError, TooManyKeysError, UnknownDeviceError, UnknownKeyError
from master.service.monitoring.audit import AuditBrokenError, NoSuchEventError
from master.service.monitoring.webhook_delivery import ReceiverLostError, _AddressRefusedError
from master.service.monitoring.webhooks import UnknownWebhookError, WebhookExistsError, WebhookTestUnderWayError
from master.service.projects import apply
from master.service.projects.allocation import AllocationChangedError
from master.service.projects.removal import ProjectInUseError
from master.service.runtime.errors import QueueFullError, RequestIdTakenError, StoppedError
from master.service.runtime.names import PbxName, UnknownNameError, UnknownPbxError, UnknownProjectError
from master.store.backends import database, postgres, problems, sqlite
from master.store.backends.database import StorageError, StorageProblem
from master.store.backends.problems import AllInUseError, UnstorableError
from master.store.backends.sqlite_file import DamagedError, InUseError, ReplacedError
from master.store.backends.stopping import GivenUpError
from master.store.statements import events
from master.store.statements.events import AuditHeadMissingError

CODE = grpc.StatusCode
UNPROVEN = (
    Denial.CERTIFICATE_UNREADABLE,
    Denial.CERTIFICATE_UNTRUSTED,
    Denial.CERTIFICATE_REVOKED,
    Denial.CERTIFICATE_EXPIRED,
)
TABLE: list[tuple[Exception, grpc.StatusCode, str, bool]] = [
    (InvalidArgumentError("seats", "none"), CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT", False),
    (MessageLateError("none came"), CODE.DEADLINE_EXCEEDED, "MESSAGE_LATE", False),
    (UnknownMethodError("none"), CODE.UNIMPLEMENTED, "UNKNOWN_METHOD", False),
    *((AccessDeniedError(denial, "no"), CODE.UNAUTHENTICATED, denial.name, False) for denial in UNPROVEN),
    *(
        (AccessDeniedError(denial, "no"), CODE.PERMISSION_DENIED, denial.name, False)
        for denial in Denial
        if denial not in UNPROVEN
    ),
    (PlanInvalidError([Violation(("changes", 0), "no")]), CODE.INVALID_ARGUMENT, "PLAN_INVALID", False),
    (ProjectInvalidError([Violation(("pbxs", 0), "no")]), CODE.INVALID_ARGUMENT, "PROJECT_INVALID", False),
    (AllocationInvalidError([Violation(("rules", 0), "no")]), CODE.INVALID_ARGUMENT, "ALLOCATION_INVALID", False),
    (AllocationChangedError(1, 2), CODE.ABORTED, "ALLOCATION_CHANGED", False),
    (RequestIdTakenError("r-1", "licenses.bound"), CODE.INVALID_ARGUMENT, "REQUEST_ID_TAKEN", False),
    (PriceFileError("prices.toml:1: no"), CODE.INVALID_ARGUMENT, "PRICE_FILE_INVALID", False),
    (UnstorableError("$1: no"), CODE.INVALID_ARGUMENT, "INVALID_ARGUMENT", False),
    (UnknownPbxError(PbxName("acme", "x")), CODE.NOT_FOUND, "UNKNOWN_PBX", False),
    (NotLearningError("acme"), CODE.FAILED_PRECONDITION, "NOT_LEARNING", False),
    (NoLeaseToEndError("x never opened a lease"), CODE.FAILED_PRECONDITION, "NO_LEASE_TO_END", False),
    (ProjectInUseError("acme", [("pbxs/x", "leased")]), CODE.FAILED_PRECONDITION, "PROJECT_IN_USE", False),
    (NoPairError(PbxName("acme", "x")), CODE.FAILED_PRECONDITION, "NO_STANDBY_PAIR", False),
    (UnknownNameError("site", "berln", ["berlin"]), CODE.NOT_FOUND, "UNKNOWN_NAME", False),
    (UnknownProjectError("acme"), CODE.NOT_FOUND, "UNKNOWN_PROJECT", False),
    (UnknownDeviceError("acme", "box"), CODE.NOT_FOUND, "UNKNOWN_DEVICE", False),
    (UnknownKeyError("abc"), CODE.NOT_FOUND, "UNKNOWN_KEY", False),
    (UnknownWebhookError("acme", "pager"), CODE.NOT_FOUND, "UNKNOWN_WEBHOOK", False),
    (TooManyKeysError("1,000"), CODE.FAILED_PRECONDITION, "TOO_MANY_KEYS", False),
    (WebhookExistsError("pager"), CODE.ALREADY_EXISTS, "WEBHOOK_EXISTS", False),
    (LoanError(LoanProblem.LOAN_SHORT, "too few"), CODE.FAILED_PRECONDITION, "LOAN_SHORT", False),
    (DeviceKeptError("bound"), CODE.FAILED_PRECONDITION, "DEVICE_HOLDS_LICENSES", False),
    *(
        (DocumentRefusedError(problem, "x"), DOCUMENT_CODES[problem], f"DOCUMENT_{problem.name}", False)
        for problem in DocumentProblem
    ),
    *(
        (LeaseError(problem, pbx="x", epoch=1), CODE.FAILED_PRECONDITION, problem.name, False)
        for problem in LeaseProblem
    ),
    (NoSuchEventError("9"), CODE.OUT_OF_RANGE, "NO_SUCH_EVENT", False),
    (AuditBrokenError("event 9"), CODE.FAILED_PRECONDITION, "AUDIT_BROKEN", False),
    (AuditHeadMissingError("acme"), CODE.FAILED_PRECONDITION, "AUDIT_BROKEN", False),
    (CallerLimitError("many", 0.5), CODE.RESOURCE_EXHAUSTED, "CALLER_LIMIT", True),
    (WebhookTestUnderWayError("pager", 10), CODE.RESOURCE_EXHAUSTED, "TEST_UNDER_WAY", True),
    (QueueFullError(0.25), CODE.RESOURCE_EXHAUSTED, "OVERLOADED", True),
    (TooManyStreamsError("many"), CODE.RESOURCE_EXHAUSTED, "OVERLOADED", True),
    (StoppedError("stopped"), CODE.UNAVAILABLE, "DRAINING", True),
    (StorageError(StorageProblem.STORAGE_UNAVAILABLE), CODE.UNAVAILABLE, "STORAGE_UNAVAILABLE", True),
    (StorageError(StorageProblem.STORAGE_BUSY), CODE.RESOURCE_EXHAUSTED, "STORAGE_BUSY", True),
    (StorageError(StorageProblem.STORAGE_LOCKED), CODE.UNAVAILABLE, "STORAGE_LOCKED", True),
    (StorageError(StorageProblem.STORAGE_FULL), CODE.UNAVAILABLE, "STORAGE_FULL", True),
    (StorageError(StorageProblem.STORAGE_SCHEMA), CODE.FAILED_PRECONDITION, "STORAGE_SCHEMA", False),
    (StorageError(StorageProblem.STORAGE_REFUSED), CODE.UNAVAILABLE, "STORAGE_REFUSED", True),
    (StorageError(StorageProblem.STORAGE_REPLACED), CODE.UNAVAILABLE, "STORAGE_REPLACED", True),
    (StorageError(StorageProblem.STORAGE_DAMAGED), CODE.UNAVAILABLE, "STORAGE_DAMAGED", True),
    (StorageError(StorageProblem.STORAGE_ABSENT), CODE.UNAVAILABLE, "STORAGE_ABSENT", True),
    (StorageError(StorageProblem.STORAGE_FOREIGN), CODE.UNAVAILABLE, "STORAGE_FOREIGN", True),
    (StorageError(StorageProblem.STORAGE_IN_USE), CODE.UNAVAILABLE, "STORAGE_IN_USE", True),
]
NEVER_LEAVE = {
    AllInUseError,
    GivenUpError,
    StillLostError,
    ReceiverLostError,
    _AddressRefusedError,
    apply.ProjectMovedError,
    _Failed,
    UnknownLicenseNameError,
    DatabaseOutdatedError,
    InUseError,
    ReplacedError,
    DamagedError,
}
"""Caught where they are raised."""
MODULES = [database, errors, events, postgres, problems, sqlite] + [
    importlib.import_module(module.name) for module in pkgutil.walk_packages(service.__path__, "master.service.")
]


@pytest.mark.parametrize(("error", "code", "reason", "retry"), TABLE, ids=lambda value: getattr(value, "name", None))
def test_each_failure_has_its_status(error: Exception, code: grpc.StatusCode, reason: str, retry: bool) -> None:
    failure = failure_of(error)
    assert (failure.code, failure.reason) == (code, reason)
    assert (failure.retry_after_seconds > 0) is retry
    assert failure.message


def test_no_exception_class_and_no_storage_problem_is_forgotten() -> None:
    assert {type(error) for error, *_ in TABLE} | NEVER_LEAVE >= set(_own_exceptions()) | {LeaseError}
    assert {error.problem for error, *_ in TABLE if isinstance(error, StorageError)} == set(StorageProblem)


def test_anything_else_is_internal_and_tells_nothing() -> None:
    failure = failure_of(KeyError("secret"))
    assert (failure.code, failure.reason) == (CODE.INTERNAL, "INTERNAL")
    assert "secret" not in failure.message


def _own_exceptions() -> Iterator[type[Exception]]:
    for module in MODULES:
        for _, actual in inspect.getmembers(module, inspect.isclass):
            if issubclass(actual, Exception) and actual.__module__.startswith("master."):
                yield actual


def test_what_a_driver_says_is_not_for_callers() -> None:
    said = "<class 'asyncpg.UndefinedTableError'>: relation seat [SQL: SELECT 1] in /var/lib/license-master.db"
    for problem in StorageProblem:
        answer = failure_of(StorageError(problem, said)).message
        assert answer == f"{problem.value}; the master's log says more"
