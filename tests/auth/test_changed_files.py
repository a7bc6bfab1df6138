"""A master's files change under it: what cannot be used is told and tried again, and never costs a revocation."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from licensemaster.daemon.settings import load
from licensemaster.tls.pem import CertificateFilesError
from master.auth.certificates.certificates import Certificates
from master.settings import Settings
from tests.auth.pki import CertifiedKey, Pki
from tests.support.masters import Clock

BERLIN = "projects/acme/pbxs/berlin"
_OF_OTHER_TOOLS: dict[str, tuple[dict[str, Any], str]] = {
    "Ed25519": ({"key": "Ed25519"}, "its key is Ed25519, which TLS here does not use"),
    "P-521": ({"key": "P-521"}, "its key is secp521r1"),
    "RSA 1024": ({"key": "RSA 1024"}, "its key is RSA of 1024 bits"),
    "not begun": ({"days": (1, 9)}, "begins "),
    "no host": ({"hosts": ()}, "names no host"),
}


def _read(pki: Pki, certified_key: CertifiedKey, clock: Clock) -> Certificates:
    files = load(Settings, None, **pki.serve(certified_key)).certificate_files
    assert files is not None
    return Certificates(files, clock)


def test_a_revocation_that_could_not_be_read_is_applied_when_it_can(pki: Pki) -> None:
    clock, crl = Clock(time.time()), pki.folder / "revoked.crl"
    certificates = _read(pki, pki.server_key(), clock)
    certified_key = pki.certified_key(BERLIN)
    pki.authority.revoke([certified_key.issued], now=clock.now)
    whole, moment = crl.read_bytes(), crl.stat().st_mtime_ns
    crl.write_bytes(bytes(len(whole)))
    os.utime(crl, ns=(moment, moment))
    with capture_logs() as logs:
        for _ in range(65):
            clock.advance(1)
            certificates.look()
    assert [line["event"] for line in logs] == ["changed certificates cannot be used, the former ones stay"] * 2
    assert (logs[1]["left_out"], "revoked.crl" in (certificates.problem or "")) == (59, True)
    crl.write_bytes(whole)  # as when its permissions are mended: the same place, size and time
    os.utime(crl, ns=(moment, moment))
    assert [serial for _, serial in certificates.look().revoked] == [certified_key.issued.certificate.serial_number]
    assert certificates.problem is None


def test_a_revocation_is_its_issuers_own(pki: Pki) -> None:
    certificates = _read(pki, pki.server_key(), Clock(time.time()))
    certified_key = pki.certified_key(BERLIN)
    pki.authority.revoke([certified_key.issued], now=time.time())
    issuer = certified_key.issued.certificate.issuer.public_bytes()
    assert certificates.look().revoked == {(issuer, certified_key.issued.certificate.serial_number)}


def test_an_overdue_list_counts_and_is_told(pki: Pki) -> None:
    clock = Clock(time.time())
    certified_key = pki.certified_key(BERLIN)
    pki.authority.revoke([certified_key.issued], now=clock.now - 20 * 365 * 86_400)
    with capture_logs() as logs:
        read = _read(pki, pki.server_key(), clock).current
    assert read.revocations_due is not None
    assert read.revocations_due < clock.now
    assert read.revoked
    assert "overdue" in logs[-1]["event"]


@pytest.mark.parametrize("days", [-1, 31], ids=["before its time", "after its end"])
def test_a_certificate_out_of_its_time_is_told_until_the_clock_is_right(pki: Pki, days: int) -> None:
    """Nobody connects anew then: callers' certificates are judged by this clock, the master's by theirs."""
    clock = Clock(time.time())
    certificates = _read(pki, pki.server_key(days=30), clock)
    with capture_logs() as logs:
        certificates.look()
        clock.advance(days * 86_400)
        for _ in range(3):
            certificates.look()
        clock.advance(-days * 86_400)
        certificates.look()
    (line,) = logs
    assert ("not the time of this master's certificate" in line["event"], line["log_level"]) == (True, "error")


def test_at_the_start_it_says_whether_revocations_are_in_force(pki: Pki) -> None:
    with capture_logs() as logs:
        _read(pki, pki.server_key(), Clock(time.time()))
    assert logs[0]["revocations"] == "in force: 0 revoked"


@pytest.mark.parametrize("who", [*_OF_OTHER_TOOLS, "a PBX", "somebody else's EKU", "an ended one"])
def test_a_certificate_that_cannot_serve_is_refused_at_the_start_and_later(pki: Pki, who: str) -> None:
    clock, good = Clock(time.time()), pki.server_key()
    certificates = _read(pki, good, clock)
    if who in _OF_OTHER_TOOLS:
        what, says = _OF_OTHER_TOOLS[who]
        bad = pki.foreign(**what)
    elif who == "a PBX":
        bad, says = pki.certified_key(BERLIN), f"is the certificate of license-master://{BERLIN}"
    elif who == "an ended one":
        bad, says = pki.server_key(days=1), "ended "
        clock.advance(2 * 86_400)
    else:
        bad, says = pki.for_clients_only(), "not good for servers"
    with pytest.raises(CertificateFilesError, match=says):
        _read(pki, bad, clock)
    assert certificates.look().certificate == good.certificate
    assert says in (certificates.problem or "")


def test_each_thing_that_is_wrong_is_told_at_once_and_again_only_after_a_while(pki: Pki) -> None:
    """Who corrects one mistake sees the next one, not a minute later."""
    certificates = _read(pki, pki.server_key(), Clock(time.time()))
    with capture_logs() as logs:
        for key in ("Ed25519", "P-521"):
            pki.serve(pki.foreign(key=key))
            for _ in range(3):
                certificates.look()
    assert len(told := [line["reason"] for line in logs]) == 2
    assert "Ed25519" in told[0]
    assert "secp521r1" in told[1]


def test_what_a_ca_file_says_besides_is_no_concern(pki: Pki) -> None:
    (pki.folder / "ca.crt").write_bytes("# Behörde\n".encode() + pki.ca)
    assert _read(pki, pki.server_key(), Clock(time.time())).current.ca.startswith(b"-----BEGIN CERTIFICATE")


def test_a_renewal_of_no_use_keeps_no_revocation_from_taking_effect(pki: Pki) -> None:
    certificates = _read(pki, pki.server_key(), Clock(time.time()))
    certified_key = pki.certified_key(BERLIN)
    pki.serve(pki.foreign(key="Ed25519"))
    pki.authority.revoke([certified_key.issued], now=time.time())
    read = certificates.look()
    assert [serial for _, serial in read.revoked] == [certified_key.issued.certificate.serial_number]
    assert "Ed25519" in (certificates.problem or "")
