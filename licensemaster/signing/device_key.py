"""A device's key, and what the device knows of the licenses bound to it: the signing end of rule L2.

Decides: what the device may sign. A security certificate is given once asked for by the master's own signature, for a
binding of this device, and what was certified stays ended: a binding handed in again later is refused. Works without a
line: every step takes a document and gives one. Leaves to others: whether the license is still in use (the master sees
to that before it takes the certificate), and carrying the documents.

The folder has `device.key` (PKCS #8, readable by its owner only) and `device.json` (what is known, for people too). A
client and commands may use it at once: each change is made under a lock, on what the folder says by then.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from licensemaster import values
from licensemaster.files.folder_lock import FolderInUseError, FolderLock
from licensemaster.files.writer import write_file
from licensemaster.signing import documents
from licensemaster.signing.documents import DocumentError
from licensemaster.v1 import document_pb2
from licensemaster.values.given import checked

KEY_FILE: Final = "device.key"
STATE_FILE: Final = "device.json"
_DEVICE: Final = re.compile(r"projects/[^/\s]+/devices/[^/\s]+")
_LOCK_WAIT_SECONDS: Final = 10.0


class DeviceKeyError(Exception):
    """Raised where the device's folder cannot be used, or the device refuses a request; the text says what to do."""


@dataclass(frozen=True, slots=True)
class BoundLicense:
    """A license that this device has, as the master signed it."""

    license: str
    type: str
    quantity: int
    number: int


@dataclass(slots=True)
class _Known:
    device: str
    master_key: bytes = b""
    bound: dict[str, BoundLicense] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """The highest binding that was certified as over, by license id."""


class DeviceKey:
    """The key of one device, with the licenses bound to the device."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey, known: _Known) -> None:
        self._folder = folder
        self._key = key
        self._known = known

    @classmethod
    @checked
    def create(cls, folder: Path, *, device: str) -> DeviceKey:
        """Make a key for `projects/{project}/devices/{device}`.

        Raises:
            ValueError: the name is not of that form.
            DeviceKeyError: the folder has one already.
            OSError: the folder cannot be written.
        """
        device = values.resource(device)
        if not _DEVICE.fullmatch(device):
            raise values.BadValueError(f"{device[:200]!r} is not projects/PROJECT/devices/DEVICE")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, key = folder / KEY_FILE, Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made = cls(folder, key, _Known(device))
        with _locked(folder):
            if file.exists():
                raise DeviceKeyError(f"{file} exists; a device keeps its key. Use another folder for another device")
            made._save()
            write_file(file, pem)  # last: a folder with a key is whole
        return made

    @classmethod
    @checked
    def load(cls, folder: Path) -> DeviceKey:
        """Read the key and what the device knows from a folder.
        Raises DeviceKeyError if the folder has no key, or its files cannot be read."""
        try:
            key = load_pem_private_key((folder / KEY_FILE).read_bytes(), password=None)
            known = _read_known(folder)
        except FileNotFoundError as failure:
            remedy = "create the device's key first"
            if (folder / KEY_FILE).exists():
                remedy = "restore it, or enrol the device anew with a key in another folder"
            raise DeviceKeyError(f"{failure.filename} is missing; {remedy}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as failure:
            raise _unreadable(folder, failure) from failure
        if not isinstance(key, Ed25519PrivateKey):
            raise DeviceKeyError(f"{folder / KEY_FILE} is no Ed25519 key")
        return cls(folder, key, known)

    @property
    def device(self) -> str:
        """The device's name, projects/{project}/devices/{device}."""
        return self._known.device

    @property
    def public_key(self) -> bytes:
        """The raw Ed25519 public key, 32 bytes."""
        return documents.public_key_of(self._key)

    @property
    def is_enrolled(self) -> bool:
        """True once the master has answered the device's enrollment."""
        return bool(self._known.master_key)

    @property
    def licenses(self) -> tuple[BoundLicense, ...]:
        """The licenses that the device knows to be bound to it, by id."""
        return tuple(self._known.bound[name] for name in sorted(self._known.bound))

    @checked
    def enrollment(self, token: str) -> document_pb2.SignedDocument:
        """Return the document that shows the key to the master, with the operator's one-time token.
        Raises ValueError if the text is no token."""
        token = values.token(token)
        payload = document_pb2.Enrollment(device=self.device, token=token, public_key=self.public_key)
        return documents.sign(document_pb2.DOCUMENT_KIND_ENROLLMENT, payload, self._key)

    @checked
    def accept_answer(self, document: document_pb2.SignedDocument) -> None:
        """Accept the master's answer to the enrollment, and rely on the master's key from then on.
        Raises DocumentError if the answer is not genuine, DeviceKeyError if the answer is for another device or key, or
        by another master than the one known."""
        kind = document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER
        documents.check_kind(document, kind)
        unverified = documents.read_payload(document, document_pb2.EnrollmentAnswer)
        master_key = self._known.master_key or unverified.master_public_key
        answer = documents.verified(document, kind=kind, public_key=master_key, payload=document_pb2.EnrollmentAnswer)
        if (answer.device, answer.public_key) != (self.device, self.public_key):
            raise DeviceKeyError(f"this answers the enrollment of {answer.device}, not of {self.device} with this key")
        with self._changing() as known:
            if known.master_key not in (b"", master_key):
                raise DeviceKeyError(f"{self.device} was enrolled with another master meanwhile")
            known.master_key = master_key

    @checked
    def accept_binding(self, document: document_pb2.SignedDocument) -> BoundLicense:
        """Accept the master's statement that a license is bound to this device.
        Raises DocumentError if the statement is not genuine, DeviceKeyError if the statement is for another device, or
        for a binding that was certified as over."""
        binding = self._from_master(document, document_pb2.DOCUMENT_KIND_BINDING, document_pb2.Binding)
        self._check_mine(binding)
        bound = BoundLicense(binding.license, binding.type, binding.quantity, binding.number)
        with self._changing() as known:
            if binding.number <= known.ended.get(binding.license, 0):
                over = f"binding {binding.number} of {binding.license} is over"
                raise DeviceKeyError(f"{over}: this device certified that itself")
            known.bound[binding.license] = bound
        return bound

    @checked
    def certify(self, document: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
        """Return the security certificate that a release request asks for, and note that the binding is over.
        Raises DocumentError if the request is not genuine, DeviceKeyError if the request is for another device."""
        kind = document_pb2.DOCUMENT_KIND_RELEASE_REQUEST
        request = self._from_master(document, kind, document_pb2.ReleaseRequest)
        self._check_mine(request.binding)
        name, number = request.binding.license, request.binding.number
        with self._changing() as known:  # on disk before anybody can have the certificate
            bound = known.bound.get(name)
            if bound is not None and bound.number <= number:
                del known.bound[name]
            known.ended[name] = max(number, known.ended.get(name, 0))
        payload = document_pb2.SecurityCertificate(device=self.device, license=name, number=number, nonce=request.nonce)
        return documents.sign(document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE, payload, self._key)

    def _from_master(
        self, document: document_pb2.SignedDocument, kind: documents.Kind, payload: type[documents.Payload]
    ) -> documents.Payload:
        if not self._known.master_key:
            raise DeviceKeyError(f"{self.device} does not know its master yet; enrol it first")
        return documents.verified(document, kind=kind, public_key=self._known.master_key, payload=payload)

    def _check_mine(self, binding: document_pb2.Binding) -> None:
        if binding.device != self.device:
            raise DeviceKeyError(f"this concerns {binding.device}, not {self.device}")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Known]:
        """Give the folder's content under a lock, and write the caller's changes when the context ends.
        Raises DeviceKeyError if another process has had the folder for ten seconds, or its files cannot be read,
        OSError if the folder cannot be written."""
        with _locked(self._folder):
            try:
                self._known = _read_known(self._folder)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as failure:
                raise _unreadable(self._folder, failure) from failure
            yield self._known
            self._save()

    def _save(self) -> None:
        fields = {
            "device": self._known.device,
            "master_key": self._known.master_key.hex(),
            "bound": {
                name: {"type": license.type, "quantity": license.quantity, "number": license.number}
                for name, license in sorted(self._known.bound.items())
            },
            "ended": dict(sorted(self._known.ended.items())),
        }
        write_file(self._folder / STATE_FILE, (json.dumps(fields, indent=2) + "\n").encode())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        lock = FolderLock.take(folder, wait_seconds=_LOCK_WAIT_SECONDS)
    except FolderInUseError as failure:
        raise DeviceKeyError(str(failure)) from failure
    try:
        yield
    finally:
        lock.release()


def _unreadable(folder: Path, failure: Exception) -> DeviceKeyError:
    why = failure.strerror if isinstance(failure, OSError) else failure
    return DeviceKeyError(f"{folder} cannot be read: {why}")


def _read_known(folder: Path) -> _Known:
    return _known_of(json.loads((folder / STATE_FILE).read_text(encoding="utf-8")))


def _known_of(fields: dict[str, Any]) -> _Known:
    bound = {
        str(name): BoundLicense(str(name), str(license["type"]), int(license["quantity"]), int(license["number"]))
        for name, license in fields["bound"].items()
    }
    ended = {str(name): int(number) for name, number in fields["ended"].items()}
    return _Known(str(fields["device"]), bytes.fromhex(fields["master_key"]), bound, ended)


__all__ = ["BoundLicense", "DeviceKey", "DeviceKeyError", "DocumentError"]
