"""A master's files: read whole, proven by a handshake, refused with the file's name and a remedy where they are no use.

A master reads a certificate, its key, the authorities' certificates (`licensemaster.tls.pem`, as clients do), and
perhaps lists of revoked certificates (CRL).
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from licensemaster.files.writer import write_file
from licensemaster.tls import handshake
from licensemaster.tls.pem import NamedFile, Pair, read_pair
from licensemaster.values.moments import minute_text
from master.auth.callers.identity import MASTER, IdentityError
from master.auth.certificates.peer_certificate import CertificateId, PeerCertificate, shown
from master.auth.certificates.revoked_keys import revoked_key
from master.values import Value, replace

_END = b"-----END X509 CRL-----"


class CertificateFiles(Value, kw_only=True):
    """The paths of a master's certificate files, PEM."""

    certificate: Path
    key: Path
    ca: Path
    revocations: Path | None = None


class Read(Value):
    """A master's files, read whole and found to fit together."""

    certificate: bytes
    key: bytes
    ca: bytes
    begins_at: float
    """When the time of the master's own certificate begins, UNIX seconds."""
    ends_at: float
    """When the master's own certificate ends, UNIX seconds."""
    revoked: frozenset[CertificateId]
    revoked_keys: frozenset[bytes]
    """The key hashes of revoked certificates, where the lists have them: no other certificate with such
    a key is good.
    """
    revocations_due: float | None
    """When the first of the lists says that a newer list is due, UNIX seconds; None where no list says so."""
    page: ssl.SSLContext
    """The TLS settings of the metrics page, which does not speak gRPC."""
    authorities: tuple[x509.Certificate, ...]
    """The authorities' certificates in the file `ca`."""
    is_known: bool
    """Whether a client that trusts only `ca` trusts the master's certificate."""

    def is_revoked(self, certificate: PeerCertificate) -> bool:
        """Tell whether a list of revoked certificates has a caller's certificate, its key, or an authority that stands
        behind it.
        """
        return not (self.revoked.isdisjoint(certificate.ids) and self.revoked_keys.isdisjoint(certificate.keys))


def read_files(files: CertificateFiles, now: float) -> Read:
    """Read a master's files. Raises CertificateFilesError if a master cannot serve with these files."""
    certificate, key = NamedFile("tls_certificate_file", files.certificate), NamedFile("tls_key_file", files.key)
    pair = read_pair(certificate, key, NamedFile("tls_ca_file", files.ca))
    _check_serves(certificate, pair, now)
    page, known = _page_context(certificate, pair), handshake.is_known_to(pair)
    revoked, keys, due = _revocations(files, (*pair.authorities, *pair.chain[1:]))
    return Read(
        pair.certificate,
        pair.key,
        pair.ca,
        pair.begins_at,
        pair.ends_at,
        revoked,
        keys,
        due,
        page,
        tuple(pair.authorities),
        known,
    )


def with_revocations(read: Read, files: CertificateFiles) -> Read:
    """Return the same certificates with the lists of revoked certificates as they are now.
    Raises CertificateFilesError if the lists cannot be read, or are not by a trusted authority."""
    between = x509.load_pem_x509_certificates(read.certificate)[1:]
    revoked, keys, due = _revocations(files, (*read.authorities, *between))
    return replace(read, revoked=revoked, revoked_keys=keys, revocations_due=due)


def _revocations(
    files: CertificateFiles, authorities: Sequence[x509.Certificate]
) -> tuple[frozenset[CertificateId], frozenset[bytes], float | None]:
    lists: list[x509.CertificateRevocationList] = []
    if files.revocations:
        lists = _lists(NamedFile("tls_revocations_file", files.revocations), authorities)
    revoked = frozenset(
        (crl.issuer.public_bytes(), revoked_certificate.serial_number) for crl in lists for revoked_certificate in crl
    )
    keys = frozenset(
        key for crl in lists for revoked_certificate in crl if (key := revoked_key(revoked_certificate)) is not None
    )
    return (revoked, keys, min((crl.next_update_utc.timestamp() for crl in lists if crl.next_update_utc), default=None))


def _check_serves(file: NamedFile, pair: Pair, now: float) -> None:
    certificate, remedy = pair.chain[0], "`license-master pki issue server HOST` makes a master's"
    try:
        whose = shown(certificate).identity
    except IdentityError as error:
        raise file.wrong(f"is not a master's certificate: {error}; {remedy}") from error
    if whose is not MASTER:
        raise file.wrong(f"is the certificate of {whose.uri}, to call masters with, not a master's own; {remedy}")
    begins_at, ends_at = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if ends_at <= now:
        raise file.wrong(
            f"ended {minute_text(ends_at)}, and here it is {minute_text(now)}; renew it (`license-master pki renew`), "
            "issue a new one, or set this machine's clock"
        )
    if begins_at > now:
        raise file.wrong(
            f"begins {minute_text(begins_at)}, and here it is {minute_text(now)}; set this machine's clock, or wait"
        )
    if problem := handshake.server_problem(pair):
        raise file.wrong(f"{problem}; {remedy}")


def _lists(file: NamedFile, authorities: Sequence[x509.Certificate]) -> list[x509.CertificateRevocationList]:
    blocks = [part + _END for part in file.read().split(_END) if b"-----BEGIN X509 CRL-----" in part]
    if not blocks:
        raise file.wrong("holds no CRL in PEM; `license-master pki` keeps one: revoked.crl")
    certificate_revocation_lists = []
    for block in blocks:
        try:
            listed = x509.load_pem_x509_crl(block)
        except ValueError as error:
            raise file.wrong("is not a CRL in PEM") from error
        if not any(_signed_by(listed, authority) for authority in authorities):
            raise file.wrong("is signed by none of the authorities in tls_ca_file; add the one that it is of")
        certificate_revocation_lists.append(listed)
    return certificate_revocation_lists


def _signed_by(listed: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key: Any = authority.public_key()
    try:
        return listed.issuer == authority.subject and listed.is_signature_valid(key)
    except TypeError:  # a key that signs nothing
        return False


def _page_context(file: NamedFile, pair: Pair) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pair.ca.decode("ascii"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        with tempfile.TemporaryDirectory(prefix="license-master-") as folder:  # Python takes a key from a file only
            path = Path(folder, "pair.pem")
            write_file(path, pair.key + b"\n" + pair.certificate)
            context.load_cert_chain(path)
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        raise file.wrong(f"TLS does not take it: {error}") from error
    return context
