"""Messages of the audit's export: its header and its checkpoint."""

from __future__ import annotations

from licensemaster.v1 import audit_pb2
from master.domain.audit.export import Checkpoint
from master.rpc.messages import message, timestamp_us
from master.service.monitoring.audit import Export


def header_message(project: str, export: Export) -> audit_pb2.AuditHeader:
    return audit_pb2.AuditHeader(
        project=f"projects/{project}",
        first_seq=export.start.seq + 1,
        last_seq=export.end.seq,
        previous_hash=export.start.hash,
    )


def checkpoint_message(checkpoint: Checkpoint) -> audit_pb2.AuditCheckpoint:
    project, time = f"projects/{checkpoint.project}", timestamp_us(checkpoint.time_us)
    return message(audit_pb2.AuditCheckpoint, checkpoint, project=project, time=time)
