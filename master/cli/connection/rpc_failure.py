"""What a failed call means for the operator: one message, the particulars, one remedy.

The API names things by path; people read "PBX berlin" and "HOLDER". Programs (`--json`) get both as the API has them.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from msgspec.structs import asdict

from licensemaster.tls.failure import Side, TlsFailureKind, tls_failure
from master.cli.connection.profiles import source_of
from master.cli.output.changes import LOOK
from master.cli.output.failure import CommandFailed
from master.values import Value

Detail = TypeVar("Detail", bound=Message)
_REMEDIES = {
    grpc.StatusCode.NOT_FOUND: "`license-master project list` and `license-master leases` show what there is",
    grpc.StatusCode.PERMISSION_DENIED: "ask whoever runs the authority for a certificate that may do this",
    grpc.StatusCode.UNAUTHENTICATED: "ask whoever runs the authority for a new certificate",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "wait a moment and run the command again",
    grpc.StatusCode.UNIMPLEMENTED: "check --server, and that the master is of the same version as this command",
    grpc.StatusCode.INTERNAL: "look into the master's log; nothing was changed unless it says so",
    grpc.StatusCode.UNKNOWN: "check that --server names the master's API port and not another one",
}
_DOCUMENT_REMEDIES = {
    "DOCUMENT_UNKNOWN_KEY": "compare the key with its owner's; `license-master vendor trust KEY` trusts it",
    "DOCUMENT_BAD_SIGNATURE": "get the original again; `license-master vendor show FILE` shows what this one says",
    "DOCUMENT_KEY_DISTRUSTED": "ask the vendor for a file signed with its present key",
    "DOCUMENT_KEY_RETIRED": "ask the vendor for a file signed with its present key",
    "DOCUMENT_TOKEN_INVALID": "`license-master device token DEVICE` makes a new one",
}
"""Remedies by the reason for which a document is refused, whoever hands it in; docs/moves.md lists all reasons."""
_STORAGE_REMEDIES = {
    "STORAGE_REFUSED": "whoever runs the master finds in its log what helps",
    "STORAGE_FULL": "make room on the disk of the database",
    "STORAGE_SCHEMA": "whoever runs the master finds with `license-master db check` what is wrong",
    "STORAGE_REPLACED": "where it was restored, `license-master db restored`; then start the master anew",
    "STORAGE_DAMAGED": "stop the master, then `license-master db check`; docs/backup.md puts a backup in its place",
}
"""Remedies by what is wrong with a master's database, where waiting alone is none."""
_TLS_REMEDIES = {
    TlsFailureKind.TLS_WANTED: "name your certificate, its key and the authority: as options, as LICENSE_MASTER_TLS_*, "
    "or in a profile",
    TlsFailureKind.PLAIN_TEXT: "leave out --tls-* and unset LICENSE_MASTER_TLS_*, or name another master with --server",
    TlsFailureKind.NAME: "name the master by one of those with --server, or issue it a certificate that has this one: "
    "`license-master pki issue server NAME...`",
}


class Violation(Value):
    """One field that the master refuses."""

    field: str
    description: str


class RpcFailure(CommandFailed):
    """A call that the master, or the way to it, answered with an error."""

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        lines: list[str] | None = None,
        remedy: str = "",
        is_lost_on_the_way: bool = False,
    ) -> None:
        said = [v for v in violations if v.description.removesuffix("…") not in message]  # the master cuts it shorter
        shown = [f"{v.field}: {v.description}" for v in said] + (lines or [])
        once = [_in_words(line) for line in shown if line not in message]
        super().__init__(_in_words(message), lines=once, remedy=remedy)
        self.api_message = message
        self.code = code
        self.reason = reason
        self.violations = violations
        self.is_lost_on_the_way = is_lost_on_the_way
        """Whether the master may have had the call, and the answer did not arrive."""

    def of_change(self) -> "RpcFailure":
        """Return the failure of a call that asked for a change: if the answer was lost, says that the change may have
        been made."""
        if not self.is_lost_on_the_way:
            return self
        message = f"{self.api_message}; the change may have been made"
        return RpcFailure(message, code=self.code, lines=list(self.lines), remedy=LOOK)

    def json_object(self) -> Mapping[str, object]:
        """Return the failure as JSON, with the API's status and reason, and the refused fields of the request."""
        return {
            **super().json_object(),
            "message": self.api_message,
            "code": self.code.name,
            "reason": self.reason,
            "fields": [asdict(violation) for violation in self.violations],
        }


_TOO_LARGE = re.compile(r"SERVER: Received message larger than max \((\d+) vs\. (\d+)\)")
"""gRPC's own words for a request above the master's limit; such a request never reaches the master."""
_NEVER_CONNECTED = ("failed to connect", "DNS resolution failed")
"""How gRPC's own words begin where it had no connection to send the call on."""
_RESOURCE = re.compile(r"(?<!//)projects/[a-z0-9-]+/(pbx|device|license|webhook)s/([^/\s'\",;]+)")
_PROJECT = re.compile(r"(?<!//)projects/([^/\s'\",;]+)(?![\w/])")
_FIELD = re.compile(r"^(?:[a-z_]+\[\d+\]\.|[a-z_]+\.)+([a-z_]+): ")
_NAMES = {"pbx": "PBX"}


def _in_words(sentence: str) -> str:
    """Return a sentence of the API as people say it: without paths of resources, and of fields in front. Names of
    certificates stay, as people have to look for them.
    """
    named = _RESOURCE.sub(lambda match: f"{_NAMES.get(match[1], match[1])} {match[2]}", sentence)
    return _FIELD.sub(r"\1: ", _PROJECT.sub(r"project \1", named))


def rpc_failure(error: grpc.RpcError, server: str, *, side: Side) -> RpcFailure:
    """Put an error of a call to `server` into words; `side` is the certificate and authority that the call used."""
    if not isinstance(error, grpc.Call):
        return RpcFailure(str(error), code=grpc.StatusCode.UNKNOWN)
    status = _status(error)
    if status is None or not status.details:
        lost = _unreachable(error, server, side)
        if lost is not None:
            return lost
    info, quota = _detail(status, error_details_pb2.ErrorInfo), _detail(status, error_details_pb2.QuotaFailure)
    bad_request, retry = _detail(status, error_details_pb2.BadRequest), _detail(status, error_details_pb2.RetryInfo)
    lines = [f"{key}: {value}" for key, value in sorted(info.metadata.items()) if key != "remedy"]
    lines += [f"{violation.subject}: {violation.description}" for violation in quota.violations]
    if info.reason:
        lines.insert(0, f"reason: {info.reason}")
    if info.reason == "UNKNOWN_PROJECT":
        lines += _named_elsewhere("project")
    message = error.details() or error.code().name
    if too_large := _TOO_LARGE.search(message):
        size, most = map(int, too_large.groups())
        message = f"the request has {size:,} bytes, and the master takes {most:,} at most; nothing was changed"
        return RpcFailure(message, code=error.code(), remedy="shorten what the file says, or divide it")
    usual = "" if "`license-master " in message else _usual_remedy(error.code(), info.reason)
    remedy = info.metadata.get("remedy") or usual
    if storage := _STORAGE_REMEDIES.get(info.reason):
        remedy = storage
    elif retry.HasField("retry_delay"):
        why = "waits for its database" if info.reason.startswith("STORAGE_") else "is busy"
        remedy = f"again in {retry.retry_delay.ToTimedelta().total_seconds():.1f} s: the master {why}"
    return RpcFailure(
        message,
        code=error.code(),
        reason=info.reason,
        violations=tuple(Violation(v.field, v.description) for v in bad_request.field_violations),
        lines=lines,
        remedy=remedy,
    )


def _usual_remedy(code: grpc.StatusCode, reason: str) -> str:
    """Return the remedy for a status and a reason where the master names none; empty if there is none."""
    if reason == "UNKNOWN_NAME":  # it says what there is
        return ""
    if reason.startswith("DOCUMENT_"):
        return _DOCUMENT_REMEDIES.get(reason, "")
    if reason.startswith("LEASE_"):  # its words are for the PBX
        return "a PBX opens its lease by itself; `license-master leases` shows whether it has"
    return _REMEDIES.get(code, "")


def _unreachable(error: grpc.Call, server: str, side: Side) -> RpcFailure | None:
    start = "start one with `license-master serve`, or name another with --server"
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        late = f"the master at {server} did not answer in time"
        lines = _named_elsewhere("server")
        return RpcFailure(late, code=error.code(), lines=lines, remedy=start, is_lost_on_the_way=True)
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return None
    said = error.details() or ""
    if failure := tls_failure(said, address=server, side=side):
        message = f"no connection to the master at {server}: {failure.message}"
        remedy = _TLS_REMEDIES.get(failure.kind, failure.remedy)
        return RpcFailure(message, code=error.code(), lines=_named_elsewhere("server"), remedy=remedy)
    lines = [*_named_elsewhere("server"), *([said] if said else [])]
    if not side.is_secured:
        lines.append("no certificate was shown (--tls-ca, --tls-certificate, --tls-key); most masters ask for one")
    is_lost = not said.startswith(_NEVER_CONNECTED)
    absent = f"no master answers at {server}"
    return RpcFailure(absent, code=error.code(), lines=lines, remedy=start, is_lost_on_the_way=is_lost)


def _named_elsewhere(parameter: str) -> list[str]:
    """Return a line that says where an option's value came from; none if it was typed, or is the default."""
    source = source_of(parameter)
    return [] if source.startswith("--") else [f"{parameter}: named by {source.removeprefix(f'{parameter} of ')}"]


def _status(error: grpc.Call) -> status_pb2.Status | None:
    try:
        status: status_pb2.Status | None = rpc_status.from_call(error)
    except ValueError:  # details that contradict the status: what is left is the status
        return None
    return status


def _detail(status: status_pb2.Status | None, kind: type[Detail]) -> Detail:
    """Return the detail of a kind from a status; an empty message if the status has none of that kind."""
    detail = kind()
    for packed in status.details if status is not None else ():
        if packed.Is(detail.DESCRIPTOR):
            packed.Unpack(detail)
    return detail
