"""Private keys and requests to sign them, as an authority makes and takes them: P-256, in PEM."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from master.auth.callers.identity import Identity

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(subject: Identity, key: Key) -> x509.CertificateSigningRequest:
    """Make the signing request that a device sends to the authority; the private key stays on the device."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject.uri)])
    builder = x509.CertificateSigningRequestBuilder(common_name(subject.name))
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256())


def key_pem(key: Key) -> bytes:
    """Return a private key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def common_name(name: str) -> x509.Name:
    """Make the name that people are shown; nothing is decided by it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
