"""Signed documents and licenses: documents that come in are verified before they are read, others are signed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster import values
from licensemaster.signing import documents as signing
from licensemaster.v1 import document_pb2, license_pb2
from master.domain.estate.installations import License
from master.domain.estate.license_release import InUse
from master.domain.estate.project import is_name
from master.domain.licenses.move_problems import MoveRefusal
from master.rpc.convert.incoming import checked
from master.rpc.convert.refusals import ways
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message, timestamp
from master.service.licenses import documents, keys
from master.service.licenses.license_views import LicenseView
from master.service.licenses.moves import Moved
from master.signing import Signer
from master.store.statements.licenses import StoredDevice, VendorKey

Payload = TypeVar("Payload", bound=Message)
_LATEST = 253_402_300_799.0
"""The end of the year 9999, in UNIX seconds; a later timestamp is no date."""


# --- What comes in ----------------------------------------------------------------------------------------------------


def check_kind(document: document_pb2.SignedDocument, kind: signing.Kind) -> None:
    """Raise DocumentRefusedError if a document claims to be of another kind."""
    try:
        signing.check_kind(document, kind)
    except signing.DocumentError as error:
        raise _refused(error) from error


def license_file(document: document_pb2.SignedDocument, public_key: bytes) -> documents.LicenseFile:
    """Read a vendor's license file, once its signature is verified.
    Raises DocumentRefusedError if the file is not genuine or cannot be read."""
    file = _verified(document, document_pb2.DOCUMENT_KIND_LICENSE_FILE, public_key, document_pb2.LicenseFile)
    return documents.LicenseFile(
        id=file.id,
        catalog=file.catalog,
        project=file.project,
        issued_at=_seconds("issue_time", file.issue_time),
        expires_at=_seconds("expire_time", file.expire_time),
        items=[
            documents.FileItem(
                id=license.id,
                type=license.type,
                quantity=license.quantity,
                replaces=license.replaces,
                agreement_ends_at=(
                    _seconds("agreement_end_time", license.agreement_end_time)
                    if license.HasField("agreement_end_time")
                    else None
                ),
            )
            for license in file.licenses
        ],
        key_id=signing.key_id_of(public_key),
        document=_without_unknown_fields(document),
        is_said_by=lambda stored: document_pb2.SignedDocument.FromString(stored).payload == document.payload,
    )


def _without_unknown_fields(document: document_pb2.SignedDocument) -> bytes:
    """Serialize a document without the unknown fields, which its signature does not cover."""
    kept = document_pb2.SignedDocument()
    kept.CopyFrom(document)
    kept.DiscardUnknownFields()
    return kept.SerializeToString(deterministic=True)


def introduction(document: document_pb2.SignedDocument, public_key: bytes) -> keys.TrustKey:
    """Read a vendor's key that a trusted key introduces.
    Raises DocumentRefusedError if the introduction is not genuine or cannot be read."""
    payload = _verified(document, document_pb2.DOCUMENT_KIND_VENDOR_KEY, public_key, document_pb2.VendorKey)
    retire = _seconds("retire_previous_time", payload.retire_previous_time)
    return keys.TrustKey(
        key_id=signing.key_id_of(checked("public_key", values.public_key, payload.public_key)),
        public_key=payload.public_key,
        display_name=payload.display_name,
        introduced_by=signing.key_id_of(public_key),
        retire_previous_at=retire if payload.HasField("retire_previous_time") else None,
    )


def named_key(key: license_pb2.NamedVendorKey) -> keys.TrustKey:
    """Read a vendor's key that an operator names. Raises InvalidArgumentError if its bytes are no public key."""
    return keys.TrustKey(
        key_id=signing.key_id_of(checked("key.public_key", values.public_key, key.public_key)),
        public_key=key.public_key,
        display_name=key.display_name,
        introduced_by="",
        retire_previous_at=None,
    )


def certified_project(document: document_pb2.SignedDocument) -> str:
    """Return the project that a device's security certificate names; the signature is not verified.
    Raises DocumentRefusedError or InvalidArgumentError if the certificate cannot be read."""
    return device_name(_unverified(document, document_pb2.SecurityCertificate).device)[0]


def certificate(document: document_pb2.SignedDocument, public_key: bytes) -> documents.Certificate:
    """Read a device's security certificate, once its signature is verified.
    Raises DocumentRefusedError if the certificate is not genuine or cannot be read."""
    kind = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE
    payload = _verified(document, kind, public_key, document_pb2.SecurityCertificate)
    project, device = device_name(payload.device)
    return documents.Certificate(
        project=project,
        device=device,
        license=payload.license,
        number=payload.number,
        nonce=payload.nonce,
        public_key=public_key,
    )


def enrollment(document: document_pb2.SignedDocument) -> documents.Enrollment:
    """Read a device's key from the document that the key itself signed, which proves that the sender has the key.
    Raises DocumentRefusedError if the document is not genuine or cannot be read."""
    kind = document_pb2.DOCUMENT_KIND_ENROLLMENT
    check_kind(document, kind)
    unverified = _unverified(document, document_pb2.Enrollment)
    public_key = checked("public_key", values.public_key, unverified.public_key)
    payload = _verified(document, kind, public_key, document_pb2.Enrollment)
    project, device = device_name(payload.device)
    return documents.Enrollment(
        project=project,
        device=device,
        token=payload.token,
        key_id=signing.key_id_of(payload.public_key),
        public_key=payload.public_key,
    )


def device_name(text: str) -> tuple[str, str]:
    """Read `projects/{project}/devices/{device}` as (project, device).
    Raises InvalidArgumentError if the text is not of that form."""
    parts = values.resource(text).split("/")
    well_formed = len(parts) == 4 and parts[0] == "projects" and parts[2] == "devices"
    if not (well_formed and is_name(parts[1]) and is_name(parts[3])):
        raise InvalidArgumentError("device", f"{text[:80]!r} must be projects/PROJECT/devices/DEVICE")
    return parts[1], parts[3]


def in_use(value: int) -> InUse:
    """Read what to do about seats in use; to refuse where the request does not say.
    Raises InvalidArgumentError if the value is none of `InUse`."""
    try:
        return InUse(value) if value else InUse.REFUSE
    except ValueError as error:
        names = ", ".join(name.name for name in InUse)
        raise InvalidArgumentError("in_use", f"{value} must be one of {names}") from error


def _unverified(document: document_pb2.SignedDocument, payload: type[Payload]) -> Payload:
    try:
        return signing.read_payload(document, payload)
    except signing.DocumentError as error:
        raise _refused(error) from error


def _verified(
    document: document_pb2.SignedDocument, kind: signing.Kind, public_key: bytes, payload: type[Payload]
) -> Payload:
    try:
        return signing.verified(document, kind=kind, public_key=public_key, payload=payload)
    except signing.DocumentError as error:
        raise _refused(error) from error


def _refused(error: signing.DocumentError) -> documents.DocumentRefusedError:
    return documents.DocumentRefusedError(documents.DocumentProblem[error.reason], str(error))


def _seconds(field: str, value: Timestamp) -> float:
    seconds = value.seconds + value.nanos / 1e9
    if not 0 <= seconds <= _LATEST:
        raise documents.DocumentRefusedError(documents.DocumentProblem.CONTENT_INVALID, f"{field} is no date")
    return seconds


# --- What goes out ----------------------------------------------------------------------------------------------------


class SignedDocuments:
    """Writes and signs the messages of licenses; without a signer, as for a dry run, nothing is certified."""

    def __init__(self, signer: Signer | None) -> None:
        self._signer = signer

    def license_status(self, project: str, view: LicenseView) -> license_pb2.LicenseStatus:
        license, agreed = view.license, view.license.agreed
        is_bound = license.device is not None and license.release is None and license.file is not None
        return message(
            license_pb2.LicenseStatus,
            license,
            license=license.id,
            type=license.type.printed(version=license.version, tier=license.tier),
            license_type=license.type.key,
            origin=_origin(license),
            state=_state(view),
            device=license.device and license.device.name,
            file=None if agreed else license.file,
            first_bind_time=license.first_bound_at,
            bind_time=license.bound_at,
            hold_end_time=license.held_until,
            agreement_end_time=license.agreement_ends_at,
            agreement=agreed and agreed.subject,
            use_end_time=agreed and agreed.ends_at,
            time_zone=view.time_zone,
            release=self._release(project, view),
            signed_binding=self.binding(project, license) if self._signer is not None and is_bound else None,
        )

    def _release(self, project: str, view: LicenseView) -> license_pb2.Release | None:
        release = view.license.release
        if release is None:
            return None
        is_asked = self._signer is not None and not release.ends_use
        return message(
            license_pb2.Release,
            release,
            request_time=release.requested_at,
            awaits_approval=view.license.waits_for_operator,
            seats_to_go=view.seats_to_go,
            seats_unreachable=view.seats_unreachable,
            request=self.release_request(project, view.license) if is_asked else None,
            unreachable_end_time=view.unreachable_until,
        )

    def move_result(self, project: str, moved: Moved, view: LicenseView | None) -> license_pb2.MoveResult:
        result = license_pb2.MoveResult(
            license=moved.license_id, seats_revoked=moved.revoked.seats, seats_at_risk=moved.revoked.at_risk
        )
        if moved.refused is not None:
            result.refused.CopyFrom(move_refusal(moved.refused))
        elif view is not None:
            result.moved.CopyFrom(self.license_status(project, view))
            if result.moved.HasField("signed_binding"):
                result.binding.CopyFrom(result.moved.signed_binding)
        return result

    def binding(self, project: str, license: License) -> document_pb2.SignedDocument:
        """Sign the statement that a license is on its device."""
        return self._signed(document_pb2.DOCUMENT_KIND_BINDING, _binding(project, license))

    def release_request(self, project: str, license: License) -> document_pb2.SignedDocument:
        """Sign the release request that a license's device answers with its certificate."""
        assert license.release is not None
        request = document_pb2.ReleaseRequest(
            binding=_binding(project, license),
            nonce=license.release.nonce,
            request_time=timestamp(license.release.requested_at),
        )
        return self._signed(document_pb2.DOCUMENT_KIND_RELEASE_REQUEST, request)

    def enrollment_answer(self, taken: documents.Enrollment) -> document_pb2.SignedDocument:
        """Sign the answer to a device's enrollment, which tells the device the master's key."""
        assert self._signer is not None
        answer = document_pb2.EnrollmentAnswer(
            device=f"projects/{taken.project}/devices/{taken.device}",
            public_key=taken.public_key,
            master_public_key=self._signer.public_key,
        )
        return self._signed(document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER, answer)

    def _signed(self, kind: signing.Kind, payload: Message) -> document_pb2.SignedDocument:
        assert self._signer is not None
        return self._signer.sign(kind, payload)


def move_refusal(refused: MoveRefusal) -> license_pb2.MoveRefusal:
    return message(license_pb2.MoveRefusal, refused, ways=ways(refused.ways))


def trusted_key(key: VendorKey) -> license_pb2.TrustedKey:
    return message(license_pb2.TrustedKey, key, distrusted=key.distrusted_at is not None)


def device_keys(devices: Sequence[StoredDevice], now: float) -> list[license_pb2.DeviceKey]:
    return [
        message(
            license_pb2.DeviceKey,
            device,
            enrollment_open=device.token_ends_at is not None and now <= device.token_ends_at,
        )
        for device in devices
    ]


def _binding(project: str, license: License) -> document_pb2.Binding:
    assert license.device is not None
    return document_pb2.Binding(
        device=f"projects/{project}/devices/{license.device.name}",
        license=license.id,
        type=license.type.printed(version=license.version, tier=license.tier),
        quantity=license.quantity,
        number=license.binding,
        bind_time=timestamp(license.bound_at) if license.bound_at is not None else None,
    )


def _origin(license: License) -> license_pb2.LicenseOrigin.ValueType:
    if license.agreed is not None:
        return license_pb2.LICENSE_ORIGIN_AGREED
    return license_pb2.LICENSE_ORIGIN_DECLARED if license.file is None else license_pb2.LICENSE_ORIGIN_IMPORTED


def _state(view: LicenseView) -> license_pb2.LicenseState.ValueType:
    if view.license.device is not None:
        leaving = view.license.release is not None
        return license_pb2.LICENSE_STATE_RELEASING if leaving else license_pb2.LICENSE_STATE_BOUND
    if view.is_over:
        return license_pb2.LICENSE_STATE_ENDED
    return license_pb2.LICENSE_STATE_COOLING_OFF if view.is_cooling_off else license_pb2.LICENSE_STATE_FREE
