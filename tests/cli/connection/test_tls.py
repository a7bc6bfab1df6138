"""A command's own certificate: checked before a master is blamed, and it says who speaks TLS and who does not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.auth.pki import CertifiedKey, Pki
from tests.cli.command import Done, run
from tests.support.masters import Clock, InProcess, in_process_master


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


async def asked(folder: Path, certified_key: CertifiedKey, server: str) -> Done:
    """A command that shows a certificate."""
    named = {"ca": certified_key.ca, "certificate": certified_key.certificate, "key": certified_key.key}
    for name, data in named.items():
        (folder / name).write_bytes(data)
    options = [word for name in named for word in (f"--tls-{name}", str(folder / name))]
    return await run(*options, "project", "list", LICENSE_MASTER_SERVER=server)


@pytest.mark.parametrize("what", ["another key", "no CA", "ended", "of no use"])
async def test_local_files_that_are_wrong_are_named(pki: Pki, tmp_path: Path, what: str) -> None:
    anna, otto = pki.certified_key("operators/anna"), pki.certified_key("operators/otto")
    certified_key, says = {
        "another key": (CertifiedKey(anna.issued, anna.certificate, otto.key, anna.ca), "--tls-key: "),
        "no CA": (CertifiedKey(anna.issued, anna.certificate, anna.key, b"junk"), "--tls-ca: "),
        "ended": (pki.certified_key("operators/anna", days=1, now=time.time() - 200_000), "--tls-certificate: "),
        "of no use": (pki.foreign(key="P-521"), "--tls-certificate: "),
    }[what]
    done = await asked(tmp_path, certified_key, "127.0.0.1:1")
    assert (done.code, says in done.err, "no master answers" in done.err) == (1, True, False), done.err


async def test_a_certificate_shown_to_a_master_in_plain_text(pki: Pki, tmp_path: Path, master: InProcess) -> None:
    done = await asked(tmp_path, pki.certified_key("operators/anna"), master.wire.address)
    assert (done.code, "answers in plain text, and a certificate was shown" in done.err) == (1, True), done.err


async def test_no_certificate_shown_to_a_master_that_asks_for_one(pki: Pki, sqlite_database_url: str) -> None:
    settings = pki.serve(pki.server_key())
    async with in_process_master(sqlite_database_url, Clock(time.time()), **settings) as master:
        done = await run("project", "list", LICENSE_MASTER_SERVER=master.wire.address)
    assert (done.code, "no certificate was shown" in done.err, "and it asks for one" in done.err) == (1, True, True)
