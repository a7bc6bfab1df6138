"""The audit's messages: what comes in is checked, what goes out is written."""

from __future__ import annotations

from licensemaster.v1 import audit_pb2
from master.domain.audit.chain import Defect
from master.domain.audit.export import Checkpoint
from master.rpc.convert.times import timestamp_us
from master.rpc.errors import InvalidArgumentError
from master.service.monitoring.audit import Export, Verified


def since_seq(value: int) -> int:
    """The number of the event that an export begins with.

    Raises:
        InvalidArgumentError: it is negative.
    """
    if value < 0:
        raise InvalidArgumentError("since_seq", f"{value} must not be negative")
    return value


def header_message(project: str, export: Export) -> audit_pb2.AuditHeader:
    return audit_pb2.AuditHeader(
        project=f"projects/{project}",
        first_seq=export.start.seq + 1,
        last_seq=export.end.seq,
        previous_hash=export.start.hash,
    )


def checkpoint_message(checkpoint: Checkpoint) -> audit_pb2.AuditCheckpoint:
    return audit_pb2.AuditCheckpoint(
        project=f"projects/{checkpoint.project}",
        seq=checkpoint.end.seq,
        hash=checkpoint.end.hash,
        time=timestamp_us(checkpoint.time_us),
        public_key=checkpoint.public_key,
        signature=checkpoint.signature,
    )


def verified_response(found: Verified) -> audit_pb2.VerifyAuditResponse:
    """What a walk along a chain came to."""
    return audit_pb2.VerifyAuditResponse(
        events=found.events,
        head_seq=found.end.seq,
        head_hash=found.end.hash,
        defect=_defect(found.defect) if found.defect else None,
    )


def _defect(defect: Defect) -> audit_pb2.AuditDefect:
    kind = audit_pb2.AuditDefectKind.Value(f"AUDIT_DEFECT_KIND_{defect.kind.name}")
    return audit_pb2.AuditDefect(kind=kind, seq=defect.seq, message=defect.message)
