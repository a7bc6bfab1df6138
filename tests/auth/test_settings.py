"""A master serves with certificates that fit together, or in plain text on loopback, or not at all; it says why."""

from __future__ import annotations

import re
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from license_agent.settings import AgentSettings
from licensemaster.daemon.settings import load
from licensemaster.tls.pem import CertificateFilesError
from master.auth.certificates.certificates import Certificates
from master.settings import Settings
from tests.auth.pki import Pki


def test_plain_text_is_asked_for_and_stays_on_this_machine() -> None:
    for listen in ("127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/lm.sock"):
        assert load(Settings, None, listen=listen, plaintext=True).certificate_files is None
    assert Settings().plaintext is False


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "license-master pki init"),
        ({"plaintext": True, "listen": "0.0.0.0:7600"}, "listen: '0.0.0.0:7600' is not a loopback address"),
        ({"plaintext": True, "listen": "[::]:7600"}, "is not a loopback address"),
        ({"plaintext": True, "listen": ":7600"}, "no host in ':7600'"),
        ({"plaintext": True, "listen": "192.0.2.7:7600"}, "is not a loopback address"),
        ({"plaintext": True, "metrics_listen": "0.0.0.0:1"}, "metrics_listen: '0.0.0.0:1' is not a loopback address"),
        ({"plaintext": True, "tls_ca_file": Path("x")}, "tls_ca_file is set as well"),
        ({"plaintext": True, "tls_revocations_file": Path("x")}, "tls_revocations_file is set as well"),
        ({"tls_ca_file": Path("x")}, "tls_certificate_file, tls_key_file: not set"),
    ],
)
def test_anything_else_is_refused(values: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        _ = load(Settings, None, **values).certificate_files


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("server.crt", None, "tls_certificate_file"),
        ("server.crt", b"", "holds no certificate in PEM"),
        ("server.key", b"secret", "is not a private key in PEM"),
        ("server.key", "other key", "is not the key of"),
        ("ca.crt", b"-----BEGIN", "tls_ca_file"),
        ("revoked.crl", b"", "holds no CRL"),
        ("revoked.crl", "other crl", "signed by none of the authorities"),
    ],
)
def test_files_that_do_not_fit_are_named(
    pki: Pki, tmp_path: Path, file: str, content: bytes | str | None, says: str
) -> None:
    settings = load(Settings, None, **pki.serve(pki.server_key())).certificate_files
    assert settings is not None
    Certificates(settings, time.time)
    if content == "other key":
        content = pki.server_key().key
    elif content == "other crl":
        content = (Pki(tmp_path / "other").folder / "revoked.crl").read_bytes()
    if content is None:
        (pki.folder / file).unlink()
    else:
        assert isinstance(content, bytes)
        (pki.folder / file).write_bytes(content)
    with pytest.raises(CertificateFilesError) as refused:
        Certificates(settings, time.time)
    assert says in str(refused.value)
    assert file in str(refused.value)
    assert "secret" not in str(refused.value)


def test_networks_of_receivers_are_a_list_or_have_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(Settings, None).webhook_networks == ()
    file = tmp_path / "settings.toml"
    file.write_text('webhook_networks = ["10.1.0.0/16", "fd00:1::/48"]\n')
    from_file = load(Settings, file).webhook_networks
    monkeypatch.setenv("LICENSE_MASTER_WEBHOOK_NETWORKS", " 10.1.0.0/16 , fd00:1::/48")
    assert load(Settings, None).webhook_networks == from_file == (ip_network("10.1.0.0/16"), ip_network("fd00:1::/48"))
    for wrong in ("10.1.2.0/16", "inside", "[10.1.0.0/16]"):
        monkeypatch.setenv("LICENSE_MASTER_WEBHOOK_NETWORKS", wrong)
        with pytest.raises(ValueError, match=re.escape("no network like 10.1.0.0/16")):
            load(Settings, None)


def test_a_list_in_a_variable_has_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, files in {
        " a.toml, 'b c.toml',\n": ("a.toml", "b c.toml"),
        "'a.toml,b.toml'": ("a.toml", "b.toml"),
        ",": (),
    }.items():
        monkeypatch.setenv("LICENSE_MASTER_CATALOG_FILES", text)
        assert load(Settings, None).catalog_files == tuple(map(Path, files))
    monkeypatch.setenv("LICENSE_AGENT_KAMAILIO_SEATS", " , ")
    with pytest.raises(ValueError, match=r"kamailio_seats\n.*must not be empty"):
        load(AgentSettings, None, pbx="projects/p/pbxs/b", software_version="12")
