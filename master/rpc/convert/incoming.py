"""Reads the fields of requests: every field is checked here, and named where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster import values
from licensemaster.signing import documents
from licensemaster.signing.documents import DocumentError, Payload
from licensemaster.v1 import document_pb2, lease_pb2, loan_pb2
from master.domain.catalog.versions import Version
from master.domain.leases.learning import Proof
from master.domain.leases.loans import SignedLoan
from master.rpc.errors import InvalidArgumentError
from master.service.batch.requests import BlockUse, CarriedOffline, Receipt
from master.service.runtime.names import PbxName

Sent = TypeVar("Sent")
Read = TypeVar("Read")
_NANOSECONDS = 1_000_000_000
_RECEIPTS_MAX = 100
_BLOCKS_MAX = 100
_LOANS_MAX = 100
_BLOCK_SEATS_MAX = 1_000_000
_TYPES_MAX = 1000
_SEATS_MAX = 1_000_000_000
_SECONDS_MAX = 253_402_300_799


def pbx_name(text: str, field: str = "pbx") -> PbxName:
    """Read `projects/{project}/pbxs/{pbx}`. Raises InvalidArgumentError if the text is not of that form."""
    try:
        return _pbx_name(text)
    except ValueError:
        raise InvalidArgumentError(field, f"{text[:80]!r} must be projects/PROJECT/pbxs/PBX") from None


@lru_cache(maxsize=4096)
def _pbx_name(text: str) -> PbxName:
    """Read a PBX's name, and keep the result, as every call names a PBX; a name that raises is not kept."""
    parts = _parts(text)
    if len(parts) != 4 or parts[0] != "projects" or parts[2] != "pbxs":
        raise ValueError("no name of a PBX")
    return PbxName(parts[1], parts[3])


def project_name(text: str, field: str = "project") -> str:
    """Read `projects/{project}`. Raises InvalidArgumentError if the text is not of that form."""
    parts = _parts(text)
    if len(parts) != 2 or parts[0] != "projects":
        raise InvalidArgumentError(field, f"{text[:80]!r} must be projects/PROJECT")
    return parts[1]


def _parts(text: str) -> list[str]:
    """Return the parts of a resource's name; none where a part is empty or cannot be shown."""
    try:
        return [values.short_text(part) for part in values.resource(text).split("/")]
    except values.BadValueError:
        return []


def receipts(sent: Sequence[lease_pb2.StandbyLeaseReceipt], project: str) -> tuple[Receipt, ...]:
    """Read a standby's receipts for its standby leases.
    Raises InvalidArgumentError if there are too many, two for a PBX, or one is negative or of another project, and
    names which."""
    if len(sent) > _RECEIPTS_MAX:
        raise InvalidArgumentError("standby_receipts", f"{len(sent)} in one call; send at most {_RECEIPTS_MAX}")
    read: dict[str, Receipt] = {}
    for index, receipt in enumerate(sent):
        field = f"standby_receipts[{index}]"
        primary = pbx_name(receipt.primary, f"{field}.primary")
        if primary.project != project or primary.pbx in read:
            reason = f"{receipt.primary[:80]!r} must be a PBX of projects/{project}, and named once"
            raise InvalidArgumentError(f"{field}.primary", reason)
        read[primary.pbx] = Receipt(
            primary=primary.pbx,
            serial=whole_number(f"{field}.serial", receipt.serial),
            discarded=receipt.discarded,
            released_epoch=whole_number(f"{field}.released_epoch", receipt.released_epoch),
        )
    return tuple(read.values())


def carried_offline(
    sent: lease_pb2.CarriedOffline, *, standby: PbxName, primary: PbxName, public_key: bytes, now: float
) -> CarriedOffline:
    """Read what a standby carried while no master answered, and verify the standby lease that allowed it.
    Raises InvalidArgumentError if the standby lease is forged, altered or of another pair, or a number makes no sense.
    """
    field = "carried_offline.signed"
    kind = document_pb2.DOCUMENT_KIND_STANDBY_LEASE
    terms = _genuine(field, sent.signed, kind, public_key, lease_pb2.StandbyLeaseTerms)
    if (terms.standby, terms.primary) != (str(standby), str(primary)):
        reason = f"is for {terms.standby} in place of {terms.primary}, not for {standby} in place of {primary}"
        raise InvalidArgumentError(field, reason)
    if not (math.isfinite(sent.carried_seconds) and sent.carried_seconds >= 0):
        raise InvalidArgumentError("carried_offline.carried_seconds", f"{sent.carried_seconds} must be 0 or more")
    in_use = _in_use("carried_offline.in_use", sent.in_use)
    age = max(now - terms.issue_time.ToNanoseconds() / _NANOSECONDS, 0.0)
    return CarriedOffline(serial=terms.serial, carried_seconds=min(sent.carried_seconds, age), in_use=in_use)


def lease_proof(sent: lease_pb2.LeaseProof, *, pbx: PbxName, public_key: bytes) -> Proof | None:
    """Verify a PBX's last signed lease, and return what it proves; None where it names another key than the master's.
    Raises InvalidArgumentError if the lease is forged, altered or of another PBX, or a number makes no sense."""
    field = "proof.signed"
    if sent.signed.key_id != documents.key_id_of(public_key):
        return None
    terms = _genuine(field, sent.signed, document_pb2.DOCUMENT_KIND_LEASE, public_key, lease_pb2.LeaseTerms)
    if terms.pbx != str(pbx):
        raise InvalidArgumentError(field, f"is the lease of {terms.pbx}, not of {pbx}")
    return Proof(
        epoch=terms.epoch,
        ends_at=terms.end_time.ToNanoseconds() / _NANOSECONDS,
        seats={holding.license_type: holding.seats for holding in terms.holdings}
        | {block.license_type: block.seats for block in terms.blocks},
        in_use=_in_use("proof.in_use", sent.in_use),
    )


def signed_loans(sent: Sequence[document_pb2.SignedDocument], *, pbx: PbxName, public_key: bytes) -> list[SignedLoan]:
    """Verify a PBX's signed loans, and return them without loans that name another key than the master's.
    Raises InvalidArgumentError if there are too many loans, or one is forged, altered or of another PBX."""
    if len(sent) > _LOANS_MAX:
        raise InvalidArgumentError("loans", f"must be {_LOANS_MAX} at most")
    loans = []
    for index, document in enumerate(sent):
        field, kind = f"loans[{index}]", document_pb2.DOCUMENT_KIND_LOAN
        if document.key_id != documents.key_id_of(public_key):
            continue
        terms = _genuine(field, document, kind, public_key, loan_pb2.LoanTerms)
        if terms.pbx != str(pbx):
            raise InvalidArgumentError(field, f"is a loan of {terms.pbx}, not of {pbx}")
        ends_at = terms.end_time.ToNanoseconds() / _NANOSECONDS
        loans.append(SignedLoan(terms.license_type, seats=terms.seats, serial=terms.serial, ends_at=ends_at))
    return loans


def block_uses(sent: Sequence[lease_pb2.BlockUse]) -> list[BlockUse]:
    """Read a PBX's report of the seats that it may use by number.
    Raises InvalidArgumentError if there are too many license types, a type is there twice, or a number makes no sense.
    """
    if len(sent) > _BLOCKS_MAX:
        raise InvalidArgumentError("blocks", f"must have {_BLOCKS_MAX} license types at most")
    if len({use.license_type for use in sent}) != len(sent):
        raise InvalidArgumentError("blocks", "must name each license type once")
    uses = []
    for index, use in enumerate(sent):
        numbers = {
            name: whole_number(f"blocks[{index}].{name}", getattr(use, name), most=_BLOCK_SEATS_MAX)
            for name in ("seats", "used", "acquired")
        }
        uses.append(BlockUse(license_type=text(f"blocks[{index}].license_type", use.license_type), **numbers))
    return uses


def _genuine(
    field: str, document: document_pb2.SignedDocument, kind: documents.Kind, public_key: bytes, payload: type[Payload]
) -> Payload:
    try:
        return documents.verified(document, kind=kind, public_key=public_key, payload=payload)
    except DocumentError as error:
        raise InvalidArgumentError(field, f"does not verify: {error}; send it as it was received") from error


def _in_use(field: str, sent: Sequence[lease_pb2.Holding]) -> dict[str, int]:
    if len(sent) > _TYPES_MAX:
        raise InvalidArgumentError(field, f"{len(sent)} types in one call; send at most {_TYPES_MAX}")
    seats: dict[str, int] = {}
    for index, holding in enumerate(sent):
        at = f"{field}[{index}]"
        key = text(f"{at}.license_type", holding.license_type)
        if key in seats:
            raise InvalidArgumentError(f"{at}.license_type", f"{key!r} must be named once")
        seats[key] = whole_number(f"{at}.seats", holding.seats, most=_SEATS_MAX)
    return seats


def checked(field: str, read: Callable[[Sent], Read], value: Sent) -> Read:
    """Read a value by its validator. Raises InvalidArgumentError if the validator refuses it, and names the field."""
    try:
        return read(value)
    except ValueError as error:
        raise InvalidArgumentError(field, str(error)) from error


def text(field: str, value: str) -> str:
    """Read a short printable text.
    Raises InvalidArgumentError if the text is missing, too long or has control characters."""
    return checked(field, values.short_text, value)


def optional_text(field: str, value: str) -> str:
    """Read a short printable text, which may be empty.
    Raises InvalidArgumentError if the text is too long or has control characters."""
    return text(field, value) if value else ""


def reason(value: str) -> str:
    """Read the reason of a change, which may be empty.
    Raises InvalidArgumentError if the reason is too long or has control characters."""
    return checked("reason", values.free_text, value)


def given_reason(value: str) -> str:
    """Read the reason of a change for which the audit needs one.
    Raises InvalidArgumentError if the reason is missing, too long or has control characters."""
    why = reason(value)
    if not why:
        raise InvalidArgumentError("reason", "must say why; the audit keeps it")
    return why


def software(field: str, value: str) -> Version:
    """Read a software version. Raises InvalidArgumentError if the text is no version."""
    return checked(field, Version.parse, value)


def moment(field: str, value: Timestamp) -> float:
    """Read a moment, as UNIX seconds.
    Raises InvalidArgumentError if the moment is before 1970 or after 9999, or no timestamp at all."""
    if not (0 <= value.seconds <= _SECONDS_MAX and 0 <= value.nanos < 1_000_000_000):
        said = f"seconds {value.seconds}, nanos {value.nanos}"
        raise InvalidArgumentError(field, f"must be a moment between 1970 and 9999, not {said}")
    return value.seconds + value.nanos / _NANOSECONDS


def whole_number(field: str, value: int, *, least: int = 0, most: int | None = None) -> int:
    """Read a count, or a serial number that a master gave.
    Raises InvalidArgumentError if the number is below `least` or above `most`."""
    if value < least or (most is not None and value > most):
        limits = "must not be negative" if most is None else f"must be {least:,} to {most:,}"
        raise InvalidArgumentError(field, f"{value} {limits}")
    return value


def epoch(value: int, field: str = "epoch") -> int:
    """Read the epoch of a lease; the first one of a lease is 1 or more.
    Raises InvalidArgumentError if no lease can have the epoch."""
    if value < 1:
        raise InvalidArgumentError(field, f"{value} must be 1 or more; send the epoch of the lease that was opened")
    return value


def page_size(value: int, *, default: int) -> int:
    """Read the most rows that a page may have: `default` where the value is 0, and 1,000 at most.
    Raises InvalidArgumentError if the value is negative."""
    return min(whole_number("page_size", value) or default, 1000)
