"""Keys of low order are nobody's: with one of them anyone has signed anything."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.signing.documents import DocumentError
from licensemaster.signing.verified_lease import LeaseVerificationError, verify
from licensemaster.v1 import document_pb2
from licensemaster.values import BadValueError, public_key
from slave_client.values.config import ClientConfig, ConfigError

PRIME = 2**255 - 19
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
Y = [0, 1, PRIME - 1, int.from_bytes(ORDER_8, "little"), PRIME - int.from_bytes(ORDER_8, "little")]
SPELT = [y + more + sign for y in Y for more in (0, PRIME) if y + more < 2**255 for sign in (0, 2**255)]
"""Each of the eight points in every spelling: y also above the prime, x with either sign."""
LOW_ORDER = [y.to_bytes(32, "little") for y in SPELT]
NOBODYS = bytes(32)


@pytest.mark.parametrize("key", LOW_ORDER, ids=bytes.hex)
def test_a_key_of_low_order_is_refused_and_has_signed_nothing(key: bytes) -> None:
    with pytest.raises(BadValueError, match="nobody's key"):
        public_key(key)
    forged = [key + bytes(32), (1).to_bytes(32, "little") + bytes(32), bytes(64)]
    lease = document_pb2.DOCUMENT_KIND_LEASE
    for at in range(64):
        for signature in forged:
            assert not documents.is_signed(lease, str(at).encode(), signature=signature, public_key=key)


def test_other_keys_are_taken() -> None:
    key = documents.public_key_of(Ed25519PrivateKey.generate())
    assert public_key(key) == key
    for wrong in (b"", key[:31], key + b"0"):
        with pytest.raises(BadValueError, match="has 32"):
            public_key(wrong)


def test_a_client_takes_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("device")
    with pytest.raises(ConfigError, match="nobody's key"):
        ClientConfig(
            addresses=("127.0.0.1:1",), pbx="projects/acme/pbxs/berlin", software_version="12", state_dir=folder,
            trusted_keys=(NOBODYS,),
        )  # fmt: skip
    device = DeviceKey.create(folder / "device", device="projects/acme/devices/box")
    said = document_pb2.EnrollmentAnswer(device=device.device, public_key=device.public_key, master_public_key=NOBODYS)
    for at in range(64):
        answer = document_pb2.SignedDocument(
            kind=document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER,
            payload=said.SerializeToString() + b"\xfa\x3e\x01" + bytes([at]),  # a field that nobody knows
            signature=bytes(64),
        )
        with pytest.raises(DocumentError):
            device.accept_answer(answer)
    for at in range(64):
        lease = document_pb2.SignedDocument(
            kind=document_pb2.DOCUMENT_KIND_LEASE, payload=b"\xfa\x3e\x01" + bytes([at]), signature=bytes(64)
        )
        with pytest.raises(LeaseVerificationError, match="does not verify: the signature"):
            verify(lease, pbx="projects/acme/pbxs/berlin", public_key=NOBODYS)
