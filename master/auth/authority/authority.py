"""A small certificate authority in a folder: it issues, renews and revokes certificates, and enrols against tokens.

    ca.crt, ca.key     the authority; the key never leaves this folder and is readable by its owner only
    revoked.crl        for the masters' setting tls_revocations_file, copied to them after each change; names keys too
    issued/SERIAL.crt  every certificate that was issued; no keys of others
    tokens.json        one-time tokens that are open, by their SHA-256

The serial number of a certificate that was enrolled is its token's hash: while the certificate is there, or in
revoked.crl, the token was used, whatever an older tokens.json says that is put back.

Masters need none of it but ca.crt and revoked.crl: who breaks into a master can issue nothing. Callers hand in the time
(UNIX seconds). Every change is written whole, to a file that takes the old one's place; one program at a time changes
what it has read, and the others wait.
"""

from __future__ import annotations

import json
import secrets
import stat
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from licensemaster.files.writer import Readers, write_file
from licensemaster.values import token_hash
from licensemaster.values.moments import minute_text
from master.auth.authority.files import locked
from master.auth.authority.issued import (
    AUTHORITY_KEY_USAGE,
    HOLDER_KEY_USAGE,
    AuthorityError,
    Holder,
    Issued,
    Purpose,
    host_name,
    issued_of,
    moment,
    serial_of_token,
)
from master.auth.authority.keys import Key, PublicKey, common_name, key_pem, new_key, pem
from master.auth.callers.identity import MASTER, Identity, IdentityError, identity_of
from master.auth.certificates.peer_certificate import identity_in, serial_text
from master.auth.certificates.revoked_keys import extension_of, hash_of, key_hash, revoked_key

_SKEW = timedelta(minutes=5)
"""How far in the past a certificate begins, for clocks that run behind."""
_CRL_DAYS = 3650


_NEW_AUTHORITY = "docs/operations.md says how a new authority takes its place"


class Authority:
    """A certificate authority in a folder; `create` makes one, `open` reads one."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: Key) -> None:
        self.folder = folder
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, folder: Path, *, name: str, days: int, now: float) -> Authority:
        """Make a new authority in a folder that has none.
        Raises AuthorityError if the folder has an authority, or the name is not valid."""
        if not 0 < len(name) <= 64:
            raise AuthorityError(f"an authority's name has 1 to 64 characters, this one {len(name)}")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(folder):
            if (folder / "ca.key").exists() or (folder / "ca.crt").exists():
                raise AuthorityError(f"{folder} holds an authority already; a second one needs a folder of its own")
            return cls._create(folder, name, days, now)

    @classmethod
    def _create(cls, folder: Path, name: str, days: int, now: float) -> Authority:
        key = new_key()
        subject = common_name(name)
        begins, ends = moment(now) - _SKEW, moment(now) + timedelta(days=days)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(AUTHORITY_KEY_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_file(folder / "ca.key", key_pem(key))
        write_file(folder / "ca.crt", pem(certificate), readers=Readers.ALL)
        (folder / "issued").mkdir(exist_ok=True)
        authority = cls(folder, certificate, key)
        authority._write_revoked({}, now)
        return authority

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Read the authority of a folder.
        Raises AuthorityError if the folder has no authority, or the authority cannot be read."""
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        except FileNotFoundError:
            raise AuthorityError(f"{folder} holds no authority; `pki init` makes one") from None
        except OSError as error:
            raise AuthorityError(f"the authority in {folder} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise AuthorityError(f"the authority in {folder} cannot be read; restore it from its backup") from error
        if not isinstance(key, Key):
            raise AuthorityError(f"the key in {folder} is not one that `pki init` makes")
        if key.public_key() != certificate.public_key():
            raise AuthorityError(f"{folder}: ca.key is not the key of ca.crt; restore both from one backup")
        return cls(folder, certificate, key)

    @property
    def ends_at(self) -> float:
        """When the authority ends, and with it every certificate that it issued, UNIX seconds."""
        return self.certificate.not_valid_after_utc.timestamp()

    @property
    def key_is_read_by_others(self) -> bool:
        """Whether anybody but the owner of the authority's key may read that key."""
        return bool((self.folder / "ca.key").stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))

    def issue(
        self, subject: Identity, public_key: PublicKey, *, days: float, now: float, serial: int | None = None
    ) -> Issued:
        """Sign a certificate for a caller's public key, with a random serial number unless one is given.
        Raises AuthorityError if the key was revoked, or the authority has ended."""
        holder = Holder(subject.name, (x509.UniformResourceIdentifier(subject.uri),), Purpose.CALL)
        return self._issue(holder, public_key, days=days, now=now, serial=serial)

    def issue_server(self, names: Sequence[str], public_key: PublicKey, *, days: float, now: float) -> Issued:
        """Issue a certificate for a master, with the host names and addresses that callers use; it is good for its
        probes too.
        Raises AuthorityError if no name is given, or one is not valid; the key was revoked, or the authority has ended.
        """
        if not names:
            raise AuthorityError("a master's certificate needs at least one host name or address")
        return self._issue(
            Holder(names[0], tuple(map(host_name, names)), Purpose.SERVE), public_key, days=days, now=now
        )

    def renew(self, issued: Issued, *, now: float) -> Issued:
        """Issue the same certificate for the same key, for as long again from now on; the old one stays good until its
        end.
        Raises AuthorityError if the certificate was revoked, or the authority ends no later than the certificate."""
        key = issued.certificate.public_key()
        if not isinstance(key, PublicKey):
            raise AuthorityError(f"{issued.serial} has no key that this authority issues for")
        days = (issued.ends_at - issued.begins_at - _SKEW.total_seconds()) / 86_400
        if self.ends_at <= issued.ends_at:
            raise AuthorityError(
                f"the authority itself ends {minute_text(self.ends_at)}, no later than this; {_NEW_AUTHORITY}"
            )
        with locked(self.folder):
            if issued.certificate.serial_number in self._revoked():
                raise AuthorityError(f"{issued.serial} was revoked; issue or enrol a new one, with a new key")
            if issued.subject is MASTER:
                return self.issue_server(issued.server_names, key, days=days, now=now)
            return self.issue(issued.subject, key, days=days, now=now)

    def issued(self) -> list[Issued]:
        """Return every certificate that was issued, the one that ends soonest first.
        Raises AuthorityError if the list of revoked certificates cannot be read."""
        revoked = self._revoked()
        certificates = [
            issued_of(certificate, revoked) for certificate in self._kept().values() if certificate is not None
        ]
        return sorted(certificates, key=lambda certificate: (certificate.ends_at, certificate.serial))

    def unreadable(self) -> list[Path]:
        """Return the files among the certificates that this authority did not issue."""
        return sorted(path for path, certificate in self._kept().items() if certificate is None)

    def revoke(self, certificates: Collection[Issued], *, now: float) -> list[Issued]:
        """Revoke certificates, and all others with the same keys, as soon as the masters have the new revoked.crl.

        Returns:
            All certificates revoked by this: a certificate has the same key as those that it was renewed to.
        """
        keys = {certificate.public_key for certificate in certificates}
        with locked(self.folder):
            chosen = [issued for issued in self.issued() if issued.public_key in keys]
            self._write_revoked(
                self._revoked_keys()
                | {issued.certificate.serial_number: key_hash(issued.certificate) for issued in chosen},
                now,
            )
        return chosen

    def open_token(self, subject: Identity, *, seconds: float, now: float) -> str:
        """Make a one-time token: whoever shows it is enrolled as `subject`. Only the hash of the token is stored."""
        token = secrets.token_urlsafe(24)
        with locked(self.folder):
            tokens = self._tokens(now)
            tokens[token_hash(token)] = {"subject": subject.uri, "ends_at": now + seconds}
            self._write_tokens(tokens)
        return token

    def holder(self, token: str, *, now: float) -> Identity:
        """Return the identity that a one-time enrollment token was made for.
        Raises AuthorityError if the token is unknown, used or too old."""
        entry = self._tokens(now).get(token_hash(token))
        serial = serial_of_token(token)
        used = (self.folder / "issued" / f"{serial_text(serial)}.crt").exists() or serial in self._revoked()
        if entry is None or used:
            raise AuthorityError("this token is unknown, was used, or is too old; `pki token` makes another")
        return identity_of(str(entry["subject"]))

    def enrol(self, request: x509.CertificateSigningRequest, token: str, *, days: float, now: float) -> Issued:
        """Issue a certificate against a one-time token, to the holder that the token is for.
        Raises AuthorityError if the token is unknown, used or too old, the request is for somebody else or not signed
        by its own key, or the authority has ended."""
        with locked(self.folder):
            subject = self.holder(token, now=now)
            key = request.public_key()
            if (
                not isinstance(key, PublicKey)
                or not isinstance(key.curve, ec.SECP256R1)
                or not request.is_signature_valid
            ):
                raise AuthorityError("the request is not signed by its own P-256 key; `pki request` makes one")
            try:
                wished = identity_in(request.extensions)
            except IdentityError as error:
                raise AuthorityError(f"the request is for nobody: {error}") from error
            if wished not in (MASTER, subject):  # one that names nobody leaves it to the token
                raise AuthorityError(f"the request is for {wished.resource}, the token for {subject.resource}")
            self._check_end(now)
            self._check_key(key)
            kept = {key: entry for key, entry in self._tokens(now).items() if key != token_hash(token)}
            self._write_tokens(kept)  # first: a crash costs a token and never gives two certificates
            return self.issue(subject, key, days=days, now=now, serial=serial_of_token(token))

    def _check_key(self, key: PublicKey) -> None:
        if hash_of(key) in self._revoked_keys().values():
            raise AuthorityError("this key was revoked, with a certificate that it had; make a new key and ask again")

    def _check_end(self, now: float) -> None:
        if self.ends_at <= now:
            raise AuthorityError(f"the authority in {self.folder} ended {minute_text(self.ends_at)}; {_NEW_AUTHORITY}")

    def _issue(
        self, holder: Holder, public_key: PublicKey, *, days: float, now: float, serial: int | None = None
    ) -> Issued:
        self._check_end(now)
        self._check_key(public_key)
        serial = serial or x509.random_serial_number()
        begins = moment(now) - _SKEW
        ends = min(moment(now) + timedelta(days=days), self.certificate.not_valid_after_utc)
        subject = common_name(holder.name)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            x509.CertificateBuilder(self.certificate.subject, subject, public_key, serial, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(HOLDER_KEY_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage(holder.purpose.value), critical=False)
            .add_extension(x509.SubjectAlternativeName(holder.names), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        issued = issued_of(certificate, frozenset())
        write_file(self.folder / "issued" / f"{issued.serial}.crt", pem(certificate), readers=Readers.ALL)
        return issued

    def _kept(self) -> dict[Path, x509.Certificate | None]:
        return {path: self._certificate(path) for path in (self.folder / "issued").glob("*.crt")}

    def _certificate(self, path: Path) -> x509.Certificate | None:
        """Return a certificate that this authority issued; None where the file has anything else."""
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            certificate.verify_directly_issued_by(self.certificate)
            identity_in(certificate.extensions)
        except (FileNotFoundError, IsADirectoryError, ValueError, TypeError, InvalidSignature):
            return None
        return certificate

    def _revoked(self) -> frozenset[int]:
        return frozenset(revocation.serial_number for revocation in self._revocations())

    def _revoked_keys(self) -> dict[int, bytes | None]:
        """Return the hash of each revoked certificate's key, by serial number; None where neither the list has it
        (lists written before lists had keys) nor the certificate is in the folder.
        """
        keys: dict[int, bytes | None] = {}
        for revocation in self._revocations():
            key = revoked_key(revocation)
            if key is None:
                kept = self._certificate(self.folder / "issued" / f"{serial_text(revocation.serial_number)}.crt")
                key = key_hash(kept) if kept is not None else None
            keys[revocation.serial_number] = key
        return keys

    def _revocations(self) -> x509.CertificateRevocationList:
        path = self.folder / "revoked.crl"
        try:
            return x509.load_pem_x509_crl(path.read_bytes())
        except (FileNotFoundError, ValueError) as error:
            remedy = "put a copy from a master or the backup in its place, or who was revoked is trusted again"
            raise AuthorityError(f"{path} is lost or damaged; {remedy}") from error

    def _write_revoked(self, keys: Mapping[int, bytes | None], now: float) -> None:
        builder = x509.CertificateRevocationListBuilder(
            self.certificate.subject, moment(now), moment(now) + timedelta(days=_CRL_DAYS)
        )
        for serial, key in sorted(keys.items()):
            revocation = x509.RevokedCertificateBuilder(serial, moment(now))
            if key is not None:
                revocation = revocation.add_extension(extension_of(key), critical=False)
            builder = builder.add_revoked_certificate(revocation.build())
        listed = builder.sign(self._key, hashes.SHA256())
        write_file(self.folder / "revoked.crl", listed.public_bytes(Encoding.PEM), readers=Readers.ALL)

    def _tokens(self, now: float) -> dict[str, dict[str, str | float]]:
        path = self.folder / "tokens.json"
        try:
            entries = json.loads(path.read_bytes())
            return {key: entry for key, entry in entries.items() if entry["ends_at"] > now}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise AuthorityError(f"{path} is damaged; remove it: open tokens are void then, make new ones") from error

    def _write_tokens(self, tokens: dict[str, dict[str, str | float]]) -> None:
        write_file(self.folder / "tokens.json", json.dumps(tokens, indent=1).encode())
