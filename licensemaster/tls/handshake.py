"""A certificate is proven before it is relied on: by a real handshake over loopback, with gRPC's own TLS on both sides.

gRPC reads certificates and keys of which its TLS can then make no use (Ed25519, P-521), and says so to nobody but who
cannot connect. Decides: whether a pair works, for a master or for who calls one, and the cause where it does
not. Leaves to others: whose certificate it is, and when the next try is due.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from licensemaster.tls.channels import open_blocking_channel
from licensemaster.tls.pem import Pair, is_issued_by

_SECONDS: Final = 10.0
_PEER_NAME: Final = "peer.invalid"
_VERIFY: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([a-zA-Z ]+)")
_REASON: Final = re.compile(r"OPENSSL_internal:([A-Z_]+)")
_USABLE: Final = "P-256, P-384 and RSA of 2048 bits or more are good"
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
_RSA_BITS_MIN: Final = 2048


@dataclass(frozen=True, slots=True)
class _Side:
    """The certificate, key and trusted authorities of one side of a handshake, in PEM."""

    certificate: bytes
    key: bytes
    trust: bytes


def server_problem(pair: Pair) -> str | None:
    """Return why no caller could connect to a master with this pair; None where callers could."""
    names = server_names(pair.chain[0])
    if not is_good_for(pair.chain[0], ExtendedKeyUsageOID.SERVER_AUTH):
        return "is not good for servers (serverAuth), so that nobody would believe it"
    if not names:
        return "names no host and no address (subjectAltName), so that nobody would believe it"
    caller_certificate, caller_key = _throwaway_certificate()
    name = names[0].replace("*", "any", 1)
    return _kind_of_key(pair.chain[0]) or _cause(
        _handshake_failure(
            server=_Side(pair.certificate, pair.key, pair.ca + caller_certificate),
            client=_Side(caller_certificate, caller_key, pair.ca + _top_of_chain(pair)),
            name=name,
        )
    )


def caller_problem(pair: Pair) -> str | None:
    """Return why no master would accept a caller with this pair; None where masters would."""
    if not is_good_for(pair.chain[0], ExtendedKeyUsageOID.CLIENT_AUTH):
        return "is not good for callers (clientAuth), so that no master would believe it"
    certificate, key = _throwaway_certificate()
    return _kind_of_key(pair.chain[0]) or _cause(
        _handshake_failure(
            server=_Side(certificate, key, pair.ca + _top_of_chain(pair)),
            client=_Side(pair.certificate, pair.key, pair.ca + certificate),
            name=_PEER_NAME,
        )
    )


def server_names(certificate: x509.Certificate) -> Sequence[str]:
    """Return the host names and addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def is_good_for(certificate: x509.Certificate, purpose: x509.ObjectIdentifier) -> bool:
    """Tell whether a certificate's extended key usage allows a purpose; without one it allows everything."""
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return purpose in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes


def is_known_to(pair: Pair) -> bool:
    """Tell whether a peer that trusts only the pair's authorities trusts the pair's certificate."""
    top = pair.chain[-1]
    return top in pair.authorities or any(is_issued_by(top, authority) for authority in pair.authorities)


def _top_of_chain(pair: Pair) -> bytes:
    """Return the chain's top certificate where the pair's authorities did not sign it, to be trusted as well."""
    return b"" if is_known_to(pair) else pair.chain[-1].public_bytes(Encoding.PEM)


def _kind_of_key(certificate: x509.Certificate) -> str | None:
    """Return why gRPC's TLS cannot use a certificate's kind of key; None where it can. A test compares the two."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        usable, kind = isinstance(key.curve, _CURVES), key.curve.name
    elif isinstance(key, rsa.RSAPublicKey):
        usable, kind = key.key_size >= _RSA_BITS_MIN, f"RSA of {key.key_size} bits"
    else:
        usable, kind = False, type(key).__name__.removesuffix("PublicKey")
    return None if usable else f"its key is {kind}, which TLS here does not use; {_USABLE}"


def _handshake_failure(*, server: _Side, client: _Side, name: str) -> str | None:
    """Return gRPC's message of a failed handshake between two sides; None where the handshake succeeds."""
    listening = grpc.server(ThreadPoolExecutor(1))
    try:
        try:
            credentials = grpc.ssl_server_credentials([(server.key, server.certificate)], server.trust, True)
            port = listening.add_secure_port("127.0.0.1:0", credentials)
        except RuntimeError:  # says nothing of why
            return "gRPC's TLS does not take it"
        listening.start()
        shown = grpc.ssl_channel_credentials(client.trust, client.key, client.certificate)
        options = (("grpc.ssl_target_name_override", name),)
        with open_blocking_channel(f"127.0.0.1:{port}", shown, options) as channel:
            try:
                anybody: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/handshake/Anybody")
                anybody(b"", timeout=_SECONDS)
            except grpc.RpcError as error:
                return None if error.code() is grpc.StatusCode.UNIMPLEMENTED else error.details() or error.code().name
        return None
    finally:
        listening.stop(_SECONDS)  # with grace, or gRPC writes a line about it to stderr


def _cause(said: str | None) -> str | None:
    if said is None:
        return None
    if cause := _VERIFY.search(said):
        return f"a handshake with it fails: {cause[1].strip()}"
    cause = _REASON.search(said)
    if cause is None:
        return "a handshake with it fails" + (f" ({said})" if len(said) < 100 else "")
    return f"a handshake with it fails: {cause[1].lower().replace('_', ' ')}"


def _throwaway_certificate() -> tuple[bytes, bytes]:
    """Make a certificate for one handshake, and its key, both PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _PEER_NAME)])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(_PEER_NAME)]), critical=False)
    certificate = built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    return certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
