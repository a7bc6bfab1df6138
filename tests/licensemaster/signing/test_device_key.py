"""What a device signs and what it takes, with nothing but documents; and how its folder is kept."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from licensemaster.signing import device_key, documents
from licensemaster.v1 import document_pb2
from slave_client import DeviceKey, DeviceKeyError, DocumentError
from tests.support.folders import held_by_another

DEVICE = "projects/acme/devices/berlin-box"
OTHER = "projects/acme/devices/rome-box"
ANSWER = document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER
BINDING = document_pb2.DOCUMENT_KIND_BINDING
REQUEST = document_pb2.DOCUMENT_KIND_RELEASE_REQUEST
CERTIFICATE = document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE


class Master:
    """Signs as a license master does."""

    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()

    def answer(self, key: DeviceKey, *, device: str = DEVICE, public_key: bytes = b"") -> document_pb2.SignedDocument:
        said = document_pb2.EnrollmentAnswer(
            device=device,
            public_key=public_key or key.public_key,
            master_public_key=documents.public_key_of(self.key),
        )
        return documents.sign(ANSWER, said, self.key)

    def binding(self, license: str = "ports", *, number: int = 1, device: str = DEVICE) -> document_pb2.SignedDocument:
        return documents.sign(BINDING, _binding(license, number, device), self.key)

    def request(self, license: str = "ports", *, number: int = 1, device: str = DEVICE) -> document_pb2.SignedDocument:
        said = document_pb2.ReleaseRequest(binding=_binding(license, number, device), nonce=b"once")
        return documents.sign(REQUEST, said, self.key)


def _binding(license: str, number: int, device: str) -> document_pb2.Binding:
    return document_pb2.Binding(device=device, license=license, type="PBX-Port12", quantity=10, number=number)


@pytest.fixture
def master() -> Master:
    return Master()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "device"


@pytest.fixture
def key(folder: Path, master: Master) -> DeviceKey:
    """A device that is enrolled."""
    made = DeviceKey.create(folder, device=DEVICE)
    made.accept_answer(master.answer(made))
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# --- Its folder -------------------------------------------------------------------------------------------------------


def test_only_its_owner_reads_the_folder(key: DeviceKey, folder: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {"device.key", "device.json"}
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_is_never_written_over(key: DeviceKey, folder: Path) -> None:
    before = content(folder)
    with pytest.raises(DeviceKeyError, match=r"device\.key exists"):
        DeviceKey.create(folder, device=OTHER)
    assert content(folder) == before


def test_a_key_whose_making_was_cut_short_is_made_anew(key: DeviceKey, folder: Path) -> None:
    """The key is written last."""
    (folder / "device.key").unlink()
    made = DeviceKey.create(folder, device=DEVICE)
    again = DeviceKey.load(folder)
    assert again.public_key == made.public_key != key.public_key
    assert not again.is_enrolled


def test_a_key_without_its_other_file_is_never_written_over(key: DeviceKey, folder: Path) -> None:
    (folder / "device.json").unlink()
    before = content(folder)
    with pytest.raises(DeviceKeyError, match=r"device\.json is missing; restore it, or enrol the device anew"):
        DeviceKey.load(folder)
    with pytest.raises(DeviceKeyError, match="exists"):
        DeviceKey.create(folder, device=DEVICE)
    assert content(folder) == before


def test_what_was_kept_is_known_again(key: DeviceKey, folder: Path, master: Master) -> None:
    key.accept_binding(master.binding("ports", number=3))
    key.accept_binding(master.binding("standby", number=1))
    key.certify(master.request("standby", number=1))
    again = DeviceKey.load(folder)
    assert (again.device, again.public_key, again.is_enrolled) == (DEVICE, key.public_key, True)
    assert [(license.license, license.number, license.quantity) for license in again.licenses] == [("ports", 3, 10)]
    with pytest.raises(DeviceKeyError, match="is over"):
        again.accept_binding(master.binding("standby", number=1))


def test_a_folder_without_a_key_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DeviceKeyError, match=r"device\.key is missing; create the device's key first"):
        DeviceKey.load(tmp_path)


def _ec_key() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


TAMPERED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "not json": ("device.json", lambda text: text[:-10]),
    "not an object": ("device.json", lambda text: b"[]"),
    "no device": ("device.json", lambda text: _without(text, "device")),
    "no ended": ("device.json", lambda text: _without(text, "ended")),
    "ended is no object": ("device.json", lambda text: _with(text, "ended", 5)),
    "bound is a list": ("device.json", lambda text: _with(text, "bound", [1])),
    "number is a text": ("device.json", lambda text: _with(text, "ended", {"ports": "many"})),
    "master key is no hex": ("device.json", lambda text: _with(text, "master_key", "xyz")),
    "not UTF-8": ("device.json", lambda text: b"\xff\xfe" + text),
    "key is no key": ("device.key", lambda text: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
    "key is empty": ("device.key", lambda text: b""),
    "key of another kind": ("device.key", lambda text: _ec_key()),
}


def _without(text: bytes, name: str) -> bytes:
    fields = json.loads(text)
    del fields[name]
    return json.dumps(fields).encode()


def _with(text: bytes, name: str, value: object) -> bytes:
    return json.dumps({**json.loads(text), name: value}).encode()


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_folder_is_refused_and_left_alone(key: DeviceKey, folder: Path, case: str) -> None:
    name, tamper = TAMPERED[case]
    (folder / name).write_bytes(tamper((folder / name).read_bytes()))
    before = content(folder)
    with pytest.raises(DeviceKeyError, match=str(folder)):
        DeviceKey.load(folder)
    assert content(folder) == before


# --- Enrolment --------------------------------------------------------------------------------------------------------


def test_an_enrollment_is_signed_with_the_key_that_it_brings(folder: Path) -> None:
    key = DeviceKey.create(folder, device=DEVICE)
    said = documents.verified(
        key.enrollment("token"),
        kind=document_pb2.DOCUMENT_KIND_ENROLLMENT,
        public_key=key.public_key,
        payload=document_pb2.Enrollment,
    )
    assert (said.device, said.token, said.public_key) == (DEVICE, "token", key.public_key)
    assert not key.is_enrolled


@pytest.mark.rule("L2")
@pytest.mark.parametrize("around", ["{}\r\n", " {}", "\ufeff{}\u00a0", "{}\u200b\n\n"])
def test_what_pasting_brings_is_part_of_no_token_and_no_name(folder: Path, around: str) -> None:
    key = DeviceKey.create(folder, device=around.format(DEVICE))
    assert key.device == DEVICE
    said = documents.read_payload(key.enrollment(around.format("tok-_en")), document_pb2.Enrollment)
    assert (said.device, said.token) == (DEVICE, "tok-_en")
    with pytest.raises(ValueError, match="the token is empty"):
        key.enrollment(around.format(""))


def test_forged_and_foreign_answers_change_nothing(folder: Path, master: Master) -> None:
    key = DeviceKey.create(folder, device=DEVICE)
    before = content(folder)
    altered = master.answer(key)
    altered.payload += b"\x08\x01"
    with pytest.raises(DocumentError, match="forged or altered"):
        key.accept_answer(altered)
    with pytest.raises(DocumentError, match="not an enrollment answer"):
        key.accept_answer(master.binding())
    with pytest.raises(DeviceKeyError, match="rome-box, not of"):
        key.accept_answer(master.answer(key, device=OTHER))
    with pytest.raises(DeviceKeyError, match="this answers the enrollment"):
        key.accept_answer(master.answer(key, public_key=b"\1" * 32))
    assert not DeviceKey.load(folder).is_enrolled
    assert content(folder) == before


@pytest.mark.rule("L2")
def test_another_master_is_not_taken_for_the_one_known(key: DeviceKey, folder: Path, master: Master) -> None:
    before = content(folder)
    with pytest.raises(DocumentError, match="forged or altered"):
        key.accept_answer(Master().answer(key))
    assert content(folder) == before
    key.accept_answer(master.answer(key))  # the same one again is fine


def test_a_device_that_is_not_enrolled_signs_nothing(folder: Path, master: Master) -> None:
    key = DeviceKey.create(folder, device=DEVICE)
    with pytest.raises(DeviceKeyError, match="enrol it first"):
        key.certify(master.request())
    with pytest.raises(DeviceKeyError, match="enrol it first"):
        key.accept_binding(master.binding())


# --- Bindings and certificates ----------------------------------------------------------------------------------------


@pytest.mark.rule("L2")
def test_a_certificate_says_what_was_asked_and_no_more(key: DeviceKey, master: Master) -> None:
    key.accept_binding(master.binding(number=4))
    said = documents.verified(
        key.certify(master.request(number=4)),
        kind=CERTIFICATE,
        public_key=key.public_key,
        payload=document_pb2.SecurityCertificate,
    )
    assert (said.device, said.license, said.number, said.nonce) == (DEVICE, "ports", 4, b"once")
    assert key.licenses == ()


@pytest.mark.rule("L2")
def test_a_binding_that_was_certified_as_over_is_not_taken_again(key: DeviceKey, folder: Path, master: Master) -> None:
    key.accept_binding(master.binding(number=2))
    key.certify(master.request(number=2))
    before = content(folder)
    for number in (1, 2):
        with pytest.raises(DeviceKeyError, match=f"binding {number} of ports is over"):
            DeviceKey.load(folder).accept_binding(master.binding(number=number))
    assert content(folder) == before
    assert key.accept_binding(master.binding(number=3)).number == 3


@pytest.mark.rule("L2")
def test_certifying_again_gives_the_same_certificate(key: DeviceKey, folder: Path, master: Master) -> None:
    first = key.certify(master.request())
    assert DeviceKey.load(folder).certify(master.request()) == first


@pytest.mark.rule("L2")
def test_a_late_request_for_an_older_binding_keeps_the_newer_one(key: DeviceKey, folder: Path, master: Master) -> None:
    key.accept_binding(master.binding(number=5))
    key.certify(master.request(number=4))
    assert [license.number for license in DeviceKey.load(folder).licenses] == [5]


FORGERIES: dict[str, Callable[[Master], document_pb2.SignedDocument]] = {
    "by another master": lambda master: Master().request(),
    "altered": lambda master: _altered(master.request()),
    "with another's signature": lambda master: _with_signature(master.request(), master.request("standby").signature),
    "without a signature": lambda master: _with_signature(master.request(), b""),
    "of another kind": lambda master: master.binding(),
    "a binding said to be a request": lambda master: _said_to_be(master.binding(), REQUEST),
    "unreadable": lambda master: documents.sealed(REQUEST, b"\xff\xff", master.key),
}


def _altered(document: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    document.payload = document.payload.replace(b"once", b"more")
    return document


def _with_signature(document: document_pb2.SignedDocument, signature: bytes) -> document_pb2.SignedDocument:
    document.signature = signature
    return document


def _said_to_be(
    document: document_pb2.SignedDocument, kind: document_pb2.DocumentKind.ValueType
) -> document_pb2.SignedDocument:
    document.kind = kind
    return document


@pytest.mark.rule("L2")
@pytest.mark.parametrize("case", FORGERIES)
def test_a_request_that_is_not_genuine_is_not_certified(
    key: DeviceKey, folder: Path, master: Master, case: str
) -> None:
    key.accept_binding(master.binding())
    before = content(folder)
    with pytest.raises(DocumentError):
        key.certify(FORGERIES[case](master))
    assert content(folder) == before
    assert [license.license for license in key.licenses] == ["ports"]


@pytest.mark.rule("L2")
def test_what_concerns_another_device_is_refused(key: DeviceKey, folder: Path, master: Master) -> None:
    before = content(folder)
    with pytest.raises(DeviceKeyError, match="rome-box, not projects/acme/devices/berlin-box"):
        key.certify(master.request(device=OTHER))
    with pytest.raises(DeviceKeyError, match="rome-box, not"):
        key.accept_binding(master.binding(device=OTHER))
    assert content(folder) == before


def test_what_two_do_with_one_device_is_all_kept(master: Master, folder: Path) -> None:
    """A client certifies while an operator's command accepts a binding: neither undoes what the other did."""
    enrolled = DeviceKey.create(folder, device=DEVICE)
    enrolled.accept_answer(master.answer(enrolled))
    first, other = DeviceKey.load(folder), DeviceKey.load(folder)
    first.certify(master.request("ports"))
    other.accept_binding(master.binding("video"))
    with pytest.raises(DeviceKeyError, match="certified that itself"):
        other.accept_binding(master.binding("ports"))
    assert [bound.license for bound in DeviceKey.load(folder).licenses] == ["video"]


def test_a_device_that_another_process_has_is_left_alone(
    master: Master, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_key, "_LOCK_WAIT_SECONDS", 0.05)
    key = DeviceKey.create(folder, device=DEVICE)
    before = (folder / "device.json").read_bytes()
    with held_by_another(folder) as process, pytest.raises(DeviceKeyError, match=f"in use by process {process.pid}"):
        key.accept_answer(master.answer(key))
    assert (folder / "device.json").read_bytes() == before
    key.accept_answer(master.answer(key))
