"""`license-master pki` as it is typed, and a real master that believes what it made."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from master.auth.authority.authority import Authority
from master.auth.authority.issued import AuthorityError
from master.auth.authority.keys import common_name, new_key, signing_request
from master.auth.callers.identity import identity_of
from tests.auth.pki import Pki
from tests.cli import command
from tests.cli.command import Done
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.projects.certificates import Made

BERLIN = "projects/acme/pbxs/berlin"
EXAMPLES = Path(__file__).parents[2] / "examples"
Command = Callable[..., Awaitable[Done]]


async def run(*arguments: str, **variables: str) -> Done:
    return await command.run(*arguments, **variables)  # type: ignore[arg-type]  # none of them is called stdin


@pytest.fixture
def pki_command(tmp_path: Path) -> Command:
    """`license-master pki ...` with a folder of its own."""

    async def typed(*arguments: str | Path) -> Done:
        here = [str(tmp_path / "pki") if argument == "pki" else str(argument) for argument in arguments]
        return await run("pki", *here, LICENSE_MASTER_PKI=str(tmp_path / "pki"))

    return typed


async def done(running: Awaitable[Done]) -> Done:
    outcome = await running
    assert outcome.code == 0, outcome.err
    return outcome


@pytest.fixture
async def from_commands(
    pki_command: Command, tmp_path: Path, sqlite_database_url: str
) -> AsyncIterator[tuple[InProcess, dict[str, str]]]:
    """A master whose certificates the commands made, and the environment of an operator."""
    await done(pki_command("init"))
    out = tmp_path / "tls"
    await done(pki_command("issue", "server", "127.0.0.1", "localhost", "--out", out))
    await done(pki_command("issue", "operator", "anna", "--out", out))
    settings = {
        "tls_certificate_file": out / "server.crt",
        "tls_key_file": out / "server.key",
        "tls_ca_file": out / "ca.crt",
        "tls_revocations_file": tmp_path / "pki" / "revoked.crl",
    }
    clock = Clock(time.time())
    async with in_process_master(sqlite_database_url, clock, **settings) as master:
        yield (
            master,
            {
                "LICENSE_MASTER_SERVER": master.wire.address,
                "LICENSE_MASTER_TLS_CA_FILE": str(out / "ca.crt"),
                "LICENSE_MASTER_TLS_CERTIFICATE_FILE": str(out / "anna.crt"),
                "LICENSE_MASTER_TLS_KEY_FILE": str(out / "anna.key"),
            },
        )


async def test_from_nothing_to_a_revoked_operator(
    from_commands: tuple[InProcess, dict[str, str]], pki_command: Command, tmp_path: Path
) -> None:
    master, anna = from_commands
    outcome = await done(run("project", "list", **anna))
    assert "acme" not in outcome.out
    plain = await run("project", "list", LICENSE_MASTER_SERVER=master.wire.address)
    assert (plain.code, "no certificate was shown, and it asks for one" in plain.err) == (1, True)
    some = await run("--tls-ca", anna["LICENSE_MASTER_TLS_CA_FILE"], "status", LICENSE_MASTER_SERVER="127.0.0.1:1")
    assert (some.code, "--tls-key, --tls-certificate: not given" in some.err) == (1, True)
    await done(pki_command("revoke", "operators/anna"))
    assert master.running.authorizer is not None
    await master.running.authorizer.run_once()
    refused = await run("project", "list", **anna)
    assert (refused.code, "CERTIFICATE_REVOKED" in refused.err) == (1, True)
    listed = json.loads((await done(pki_command("show", "--json"))).out)["certificates"]
    states = {each["name"]: each["state"] for each in listed}
    assert states == {"localhost, 127.0.0.1": "good", "operators/anna": "revoked"}
    own = {
        **anna,
        "LICENSE_MASTER_TLS_CERTIFICATE_FILE": str(tmp_path / "tls" / "server.crt"),
        "LICENSE_MASTER_TLS_KEY_FILE": str(tmp_path / "tls" / "server.key"),
    }
    assert "SERVING" in (await done(run("health", **own))).out  # as probes in a pod ask it


async def test_keys_are_their_owners_alone(pki_command: Command, tmp_path: Path) -> None:
    await done(pki_command("init"))
    await done(pki_command("issue", "pbx", BERLIN, "--out", tmp_path / "tls"))
    for key in (tmp_path / "pki" / "ca.key", tmp_path / "tls" / "berlin.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = await pki_command("issue", "pbx", BERLIN, "--out", tmp_path / "tls")
    assert (again.code, "is there already" in again.err) == (1, True)
    second = await pki_command("init")
    assert (second.code, "holds an authority already" in second.err) == (1, True)


async def test_a_device_enrols_once_with_its_token(pki_command: Command, tmp_path: Path) -> None:
    await done(pki_command("init"))
    device, answer = tmp_path / "device", tmp_path / "answer"
    await done(pki_command("request", "pbx", BERLIN, "--out", device))
    token = (await done(pki_command("token", "pbx", BERLIN))).out.strip()
    assert token not in (tmp_path / "pki" / "tokens.json").read_text()
    wrong = await pki_command("enrol", "--csr", device / "berlin.csr", "--token", "x", "--out", answer)
    assert (wrong.code, "this token is unknown" in wrong.err) == (1, True)
    await done(pki_command("enrol", "--csr", device / "berlin.csr", "--token", token, "--out", answer))
    assert sorted(path.name for path in answer.iterdir()) == ["berlin.crt", "ca.crt"]
    again = await pki_command("enrol", "--csr", device / "berlin.csr", "--token", token, "--out", answer)
    assert (again.code, "was used" in again.err) == (1, True)


async def test_renewing_waits_until_it_is_time(pki_command: Command, tmp_path: Path) -> None:
    await done(pki_command("init"))
    await done(pki_command("issue", "pbx", BERLIN, "--out", tmp_path, "--days", "90"))
    path = tmp_path / "berlin.crt"
    before = path.read_bytes()
    assert "not renewed" in (await done(pki_command("renew", path))).err
    assert path.read_bytes() == before
    assert "renewed until" in (await done(pki_command("renew", path, "--left", "1"))).err
    old, new = x509.load_pem_x509_certificate(before), x509.load_pem_x509_certificate(path.read_bytes())
    assert (old.public_key(), old.serial_number == new.serial_number) == (new.public_key(), False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["issue", "pbx", "berlin"], "names nobody"),
        (["issue", "operator", "anna", "otto"], "2 names"),
        (["issue", "server", "not a host"], "neither a host name nor an address"),
        (["issue", "server", "999.1.1.1"], "neither a host name nor an address"),
        (["issue", "server", "--", "-dash.example"], "neither a host name nor an address"),
        (["issue", "server", "bücher.example"], "as xn--..."),
        (["issue", "server", "localhost", "--project", "acme"], "a master serves every project"),
        (["issue", "pbx", "projects/acme/pbxs/Berlin"], "can be no PBX"),
        (["issue", "pbx", "projects/acme-/pbxs/berlin"], "names nobody"),
        (["issue", "pbx", "projects/acme/pbxs/ca"], "the authority's own files"),
        (["issue", "operator", "anna", "--out", "pki"], "the authority's own folder"),
        (["init", "--folder", "other", "--name", ""], "1 to 64 characters"),
        (["token", "pbx"], "name one certificate's holder"),
        (["issue", "pbx", "projects/acme/operators/anna"], "is not a pbx"),
        (["issue", "metrics", "p", "--project", "acme"], "must name no project"),
        (["revoke", "operators/nobody"], "nothing was revoked"),
        (["show", "--folder", "nowhere"], "holds no authority"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    pki_command: Command, tmp_path: Path, arguments: list[str], says: str
) -> None:
    Pki(tmp_path / "pki")
    actual = await pki_command(*arguments)
    assert (actual.code, says in actual.err) == (1, True), actual.err
    assert not list((tmp_path / "pki" / "issued").iterdir())


def test_a_token_is_for_whom_it_was_made_and_for_a_while(pki: Pki) -> None:
    now, authority = time.time(), pki.authority
    berlin = identity_of(f"license-master://{BERLIN}")
    token = authority.open_token(berlin, seconds=60, now=now)
    for other in ("operators/root", "projects/acme/pbxs/kiel", "projects/globex/pbxs/berlin"):
        wished = signing_request(identity_of(f"license-master://{other}"), new_key())
        with pytest.raises(AuthorityError, match=f"the request is for {other}, the token for {BERLIN}"):
            authority.enrol(wished, token, days=1, now=now)
    wished = signing_request(berlin, new_key())
    assert authority.enrol(wished, token, days=1, now=now + 59).subject == berlin
    late = authority.open_token(berlin, seconds=60, now=now)
    with pytest.raises(AuthorityError, match="too old"):
        authority.enrol(wished, late, days=1, now=now + 60)


def test_a_request_that_names_nobody_leaves_it_to_the_token(pki: Pki) -> None:
    berlin, name = identity_of(f"license-master://{BERLIN}"), common_name("box")
    token = pki.authority.open_token(berlin, seconds=60, now=time.time())
    wished = x509.CertificateSigningRequestBuilder(name).sign(new_key(), hashes.SHA256())
    assert pki.authority.enrol(wished, token, days=1, now=time.time()).subject == berlin


def test_what_is_revoked_stays_so_and_is_not_renewed(pki: Pki) -> None:
    now = time.time()
    first, second = pki.certified_key("operators/a").issued, pki.certified_key("operators/b").issued
    pki.authority.revoke([first], now=now)
    pki.authority.revoke([second], now=now)
    reopened = Authority.open(pki.folder).issued()
    assert [issued.revoked for issued in reopened] == [True, True]
    with pytest.raises(AuthorityError, match="was revoked"):
        pki.authority.renew(reopened[0], now=now)


async def test_an_operator_of_one_project_needs_to_name_none(
    from_commands: tuple[InProcess, dict[str, str]], pki_command: Command, tmp_path: Path
) -> None:
    _, anna = from_commands
    await done(run("project", "apply", str(EXAMPLES / "demo.toml"), "--yes", **anna))
    out = tmp_path / "otto"
    await done(pki_command("issue", "operator", "otto", "--project", "demo", "--out", out))
    otto = {
        **anna,
        "LICENSE_MASTER_TLS_CERTIFICATE_FILE": str(out / "otto.crt"),
        "LICENSE_MASTER_TLS_KEY_FILE": str(out / "otto.key"),
    }
    assert "demo" in (await done(run("project", "list", **otto))).out
    refused = await run("status", "--project", "globex", **otto)
    assert (refused.code, "NOT_YOUR_PROJECT" in refused.err) == (1, True)


async def test_an_authority_whose_parts_do_not_belong_together_issues_nothing(
    pki_command: Command, tmp_path: Path
) -> None:
    """An authority's folder of which half was restored."""
    await done(pki_command("init"))
    (tmp_path / "pki" / "ca.key").write_bytes(Made.authority().key)
    refused = await pki_command("issue", "server", "localhost", "--out", tmp_path / "tls")
    assert (refused.code, "ca.key is not the key of ca.crt" in refused.err) == (1, True), refused.err
    assert not (tmp_path / "tls").exists()
