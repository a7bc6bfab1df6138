"""The master's key, and what it signs: leases, standby leases, what is said of licenses, checkpoints of the audit."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import Message

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2

_CHECKPOINT = document_pb2.DOCUMENT_KIND_AUDIT_CHECKPOINT


class Signer:
    """Signs with one key, named by its id."""

    def __init__(self, key_id: str, private_key: bytes) -> None:
        self.key_id = key_id
        self._private_key = Ed25519PrivateKey.from_private_bytes(private_key)
        self.public_key = documents.public_key_of(self._private_key)
        self._own_id = documents.key_id_of(self.public_key)

    def sign(self, kind: documents.Kind, payload: Message) -> document_pb2.SignedDocument:
        return documents.sign(kind, payload, self._private_key, key_id=self._own_id)

    def sign_checkpoint(self, payload: bytes) -> bytes:
        """Return the signature of an audit's end."""
        return self._private_key.sign(documents.signed_bytes(_CHECKPOINT, payload))

    @staticmethod
    def fresh() -> tuple[str, bytes]:
        """Make a new (key id, private key); the id is derived from the public key."""
        key = Ed25519PrivateKey.generate()
        return documents.key_id_of(documents.public_key_of(key)), key.private_bytes_raw()


def has_signed_checkpoint(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    """Tell whether a key has signed an audit's end."""
    return documents.is_signed(_CHECKPOINT, payload, signature=signature, public_key=public_key)
