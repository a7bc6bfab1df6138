"""What stands behind a certificate is judged up to the root: on real connections, and for every way to be wrong."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from licensemaster.v1 import project_pb2
from master.auth.authority.authority import Authority
from master.auth.authority.keys import key_pem, new_key, pem
from master.auth.callers.identity import identity_of
from master.auth.certificates.chains import ChainError, path_of
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.masters import Clock, InProcess, Wire, in_process_master
from tests.support.projects.certificates import Made


def between(issuer: Made, folder: Path, *, path_length: int | None = None) -> Authority:
    """An authority below another, with a folder of its own."""
    below = Authority.create(folder, name="between", days=3650, now=time.time())
    key = below._key
    made = (
        x509.CertificateBuilder(
            issuer.certificate.subject,
            below.certificate.subject,
            key.public_key(),
            x509.random_serial_number(),
            below.certificate.not_valid_before_utc,
            below.certificate.not_valid_after_utc,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .sign(issuer.private, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(pem(made))
    authority = Authority.open(folder)
    authority._write_revoked({}, time.time())
    return authority


def of_anna(authority: Authority, ca: bytes) -> tuple[x509.Certificate, grpc.ChannelCredentials]:
    """What anna shows: her certificate, and the authority's behind it."""
    key = new_key()
    anna = identity_of("license-master://operators/anna")
    issued = authority.issue(anna, key.public_key(), days=30, now=time.time())
    shown = pem(issued.certificate) + pem(authority.certificate)
    return issued.certificate, grpc.ssl_channel_credentials(ca, key_pem(key), shown)


async def asks(wire: Wire) -> None:
    await wire.projects.ListProjects(project_pb2.ListProjectsRequest())


async def test_an_authority_that_its_root_forbids_makes_nobody(secured: InProcess, pki: Pki, tmp_path: Path) -> None:
    """The root of `pki init` allows none below it."""
    forbidden = between(Made(pki.authority.certificate, pki.authority._key), tmp_path / "between")
    _, credentials = of_anna(forbidden, pki.ca)
    async with shown_to(secured.wire.address, credentials) as wire:
        seen = await failure(asks(wire))
    assert (seen.code, seen.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_UNTRUSTED")
    assert "allows 0 authorities below it, and there are 1" in seen.message


@pytest.mark.parametrize("listed_by", ["the root", "the one between"])
async def test_who_stands_behind_is_revoked_with_all_below(
    sqlite_database_url: str, pki: Pki, tmp_path: Path, listed_by: str
) -> None:
    """Lists of every authority count: the root's ends the one between, whose own ends anna."""
    root = Made.authority(name="root")
    below = between(root, tmp_path / "between", path_length=0)
    server = new_key()
    serves = below.issue_server(["localhost", "127.0.0.1"], server.public_key(), days=30, now=time.time())
    ca = root.pem
    certificate, credentials = of_anna(below, ca)
    settings = pki.serve(pki.server_key())
    (pki.folder / "server.key").write_bytes(key_pem(server))
    (pki.folder / "server.crt").write_bytes(pem(serves.certificate) + pem(below.certificate))
    (pki.folder / "ca.crt").write_bytes(ca)
    (pki.folder / "revoked.crl").write_bytes((tmp_path / "between" / "revoked.crl").read_bytes())
    async with (
        in_process_master(sqlite_database_url, Clock(time.time()), **settings) as master,
        shown_to(f"127.0.0.1:{master.running.port}", credentials) as wire,
    ):
        await asks(wire)
        by, revoked = (root, below.certificate) if listed_by == "the root" else (
            Made(below.certificate, below._key), certificate
        )  # fmt: skip
        now = below.certificate.not_valid_before_utc
        entry = x509.RevokedCertificateBuilder(revoked.serial_number, now).build()
        listed = x509.CertificateRevocationListBuilder(
            by.certificate.subject, now, below.certificate.not_valid_after_utc
        )
        made = listed.add_revoked_certificate(entry).sign(by.private, hashes.SHA256())
        (pki.folder / "revoked.crl").write_bytes(
            (tmp_path / "between" / "revoked.crl").read_bytes() * (listed_by == "the root")
            + made.public_bytes(Encoding.PEM)
        )
        assert master.running.authorizer is not None
        await master.running.authorizer.run_once()
        assert (await failure(asks(wire))).reason == "CERTIFICATE_REVOKED"


def test_ways_to_be_wrong() -> None:
    root, other = Made.authority(name="root"), Made.authority(name="root")
    good = Made.authority(root, name="good")
    leaf = Made.by(good)
    assert path_of(_of(leaf, good), _of(root)) == _of(leaf, good, root)
    assert path_of(_of(leaf), _of(good)) == _of(leaf, good), "one that is believed needs no root"
    no_authority = Made.by(root, name="somebody", is_authority=False)
    silent = Made.by(root, name="silent")
    for shown, believed, says in (
        (_of(leaf, good), _of(other), "none of the authorities"),
        (_of(leaf), _of(root), "none of the authorities"),
        (_of(Made.by(no_authority), no_authority), _of(root), "is no authority"),
        (_of(Made.by(silent), silent), _of(root), "is no authority"),
        (_of(Made.by(leaf), leaf, good), _of(root), "is no authority"),
    ):
        with pytest.raises(ChainError, match=says):
            path_of(shown, believed)


def test_many_ways_up_cost_little() -> None:
    """Certificates of one name and key that sign each other; whoever shows them has made them."""
    root = Made.authority(name="root")
    knot = Made.authority(name="knot")
    key, name = knot.private, knot.certificate.subject
    tangled = []
    for _ in range(12):
        built = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(),
            root.certificate.not_valid_before_utc, root.certificate.not_valid_after_utc,
        )  # fmt: skip
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        tangled.append(built.sign(key, hashes.SHA256()))
    with pytest.raises(ChainError):
        path_of([Made.by(knot).certificate, *tangled], _of(root))


def _of(*made: Made) -> tuple[x509.Certificate, ...]:
    return tuple(certificate.certificate for certificate in made)
