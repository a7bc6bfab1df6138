"""The authority's folder over the years: several at once, damage, keys that get around, and its own end."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from master.auth.authority.authority import Authority
from master.auth.authority.issued import AuthorityError
from master.auth.authority.keys import new_key, signing_request
from master.auth.callers.identity import identity_of
from tests.auth.pki import Pki
from tests.cli import command
from tests.cli.command import MOMENT, Done

BERLIN = "projects/acme/pbxs/berlin"


async def run(folder: Path, *arguments: str | Path) -> Done:
    """`license-master pki`, for the authority in a folder."""
    return await command.run("pki", *map(str, arguments), LICENSE_MASTER_PKI=str(folder))


def test_many_revocations_at_once_are_all_kept(pki: Pki) -> None:
    issued = [pki.certified_key(f"operators/o{at}").issued for at in range(16)]

    def revoke(at: int) -> None:
        Authority.open(pki.folder).revoke([issued[at]], now=time.time())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(revoke, range(16)))
    assert [issued_one.revoked for issued_one in pki.authority.issued()] == [True] * 16


def test_a_token_is_used_once_by_many_at_once(pki: Pki) -> None:
    berlin = identity_of(f"license-master://{BERLIN}")
    token = pki.authority.open_token(berlin, seconds=60, now=time.time())

    def enrol(_: int) -> bool:
        try:
            Authority.open(pki.folder).enrol(signing_request(berlin, new_key()), token, days=1, now=time.time())
        except AuthorityError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(enrol, range(16))) == 1


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_revoked_key_gets_no_certificate_under_any_name(pki: Pki, is_listed: bool) -> None:
    key, now = new_key(), time.time()
    berlin, paris = (identity_of(f"license-master://projects/acme/pbxs/{name}") for name in ("berlin", "paris"))
    issued = pki.authority.issue(berlin, key.public_key(), days=30, now=now)
    if is_listed:
        pki.authority.revoke([issued], now=now)
        (pki.folder / "issued" / f"{issued.serial}.crt").unlink()  # the list itself names the key
    else:  # a list from before lists named keys
        pki.authority._write_revoked({issued.certificate.serial_number: None}, now)
    token = pki.authority.open_token(paris, seconds=60, now=now)
    with pytest.raises(AuthorityError, match="this key was revoked"):
        pki.authority.issue(paris, key.public_key(), days=1, now=now)
    with pytest.raises(AuthorityError, match="this key was revoked"):
        pki.authority.issue_server(["localhost"], key.public_key(), days=1, now=now)
    with pytest.raises(AuthorityError, match="this key was revoked"):
        pki.authority.enrol(signing_request(paris, key), token, days=1, now=now)
    assert pki.authority.enrol(signing_request(paris, new_key()), token, days=1, now=now), "the token was not spent"


@pytest.mark.parametrize("left", ["the certificate", "its revocation"])
def test_an_older_file_of_tokens_opens_no_used_one(pki: Pki, left: str) -> None:
    berlin, now = identity_of(f"license-master://{BERLIN}"), time.time()
    token = pki.authority.open_token(berlin, seconds=60, now=now)
    backup = (pki.folder / "tokens.json").read_bytes()
    issued = pki.authority.enrol(signing_request(berlin, new_key()), token, days=1, now=now)
    if left == "its revocation":
        pki.authority.revoke([issued], now=now)
        (pki.folder / "issued" / f"{issued.serial}.crt").unlink()
    (pki.folder / "tokens.json").write_bytes(backup)
    with pytest.raises(AuthorityError, match="was used"):
        pki.authority.enrol(signing_request(berlin, new_key()), token, days=1, now=now)


async def test_who_lost_a_key_lost_what_it_was_renewed_to(pki: Pki) -> None:
    first = pki.certified_key(BERLIN).issued
    second = pki.authority.renew(first, now=time.time() + 60)
    other = pki.certified_key(BERLIN).issued
    done = await run(pki.folder, "revoke", first.serial)
    assert f"{second.serial} of {BERLIN} is revoked, as it has the same key" in done.err
    states = {issued.serial: issued.revoked for issued in pki.authority.issued()}
    assert states == {first.serial: True, second.serial: True, other.serial: False}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("anna", "of operators/anna is revoked"),
        ("127.0.0.1", "of localhost, 127.0.0.1 is revoked"),
        ("otto", "may be operators/otto or viewers/otto; nothing was revoked"),
    ],
)
async def test_a_part_of_a_name_is_enough_where_it_is_nobody_elses(pki: Pki, name: str, says: str) -> None:
    for text in ("operators/anna", "operators/otto", "viewers/otto"):
        pki.certified_key(text)
    pki.server_key()
    done = await run(pki.folder, "revoke", name)
    assert says in done.err
    assert sum(issued.revoked for issued in pki.authority.issued()) == ("is revoked" in says)


async def test_damage_is_named_and_keeps_nobody_from_revoking(pki: Pki) -> None:
    anna = pki.certified_key("operators/anna").issued
    (pki.folder / "issued" / "junk.crt").write_bytes(b"junk")
    done = await run(pki.folder, "revoke", "operators/anna")
    assert (done.code, "junk.crt is no certificate of this authority" in done.err) == (0, True)
    assert [issued.revoked for issued in pki.authority.issued()] == [True]
    (pki.folder / "tokens.json").write_text(json.dumps(["junk"]))
    (pki.folder / "revoked.crl").unlink()
    for arguments, says in (
        (["token", "operator", "otto"], "tokens.json is damaged; remove it"),
        (["revoke", anna.serial], "revoked.crl is lost or damaged; put a copy from a master"),
    ):
        done = await run(pki.folder, *arguments)
        assert (done.code, says in done.err, "Traceback" in done.err) == (1, True, False), done.err


async def test_a_key_that_others_can_read_is_told(pki: Pki) -> None:
    assert "warning" not in (await run(pki.folder, "show")).err
    os.chmod(pki.folder / "ca.key", 0o644)
    assert "ca.key can be read by others" in (await run(pki.folder, "show")).err


def test_an_authority_that_ended_issues_nothing(tmp_path: Path) -> None:
    now = time.time()
    authority = Authority.create(tmp_path, name="old", days=10, now=now)
    anna = identity_of("license-master://operators/anna")
    issued = authority.issue(anna, new_key().public_key(), days=365, now=now)
    assert issued.ends_at == authority.ends_at
    with pytest.raises(AuthorityError, match=r"the authority itself ends .* docs/operations.md"):
        authority.renew(issued, now=now + 9 * 86_400)
    with pytest.raises(AuthorityError, match="ended"):
        authority.issue(anna, new_key().public_key(), days=1, now=now + 10 * 86_400)
    assert len(authority.issued()) == 1


async def test_its_own_end_is_shown_before_it_comes(tmp_path: Path) -> None:
    Authority.create(tmp_path, name="old", days=100, now=time.time())
    done = await run(tmp_path, "show", "--json")
    assert "warning: the authority itself ends" in done.err
    ends_at = time.time() + 100 * 86_400
    shown = json.loads(done.out)["authority"]["end_time"]
    assert MOMENT.fullmatch(shown)
    assert shown[:10] == time.strftime("%Y-%m-%d", time.gmtime(ends_at))


async def test_nothing_is_overwritten(pki: Pki, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    for project, code in (("acme", 0), ("beta", 1)):
        device = tmp_path / project
        name = f"projects/{project}/pbxs/berlin"
        assert (await run(pki.folder, "request", "pbx", name, "--out", device)).code == 0
        token = (await run(pki.folder, "token", "pbx", name)).out.strip()
        enrol: list[str | Path] = ["enrol", "--csr", device / "berlin.csr", "--token", f"\u00a0{token}\r\n", "--out"]
        done = await run(pki.folder, *enrol, answer)
        assert (done.code, "is there already" in done.err) == (code, bool(code))
    assert (await run(pki.folder, *enrol, tmp_path / "elsewhere")).code == 0  # the token was not used up
    other = Pki(tmp_path / "other")
    done = await run(other.folder, "issue", "operator", "anna", "--out", answer)
    assert (done.code, "ca.crt: is that of another authority" in done.err) == (1, True)
    assert not other.authority.issued()


async def test_no_certificate_is_good_without_its_key(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = await run(pki.folder, "issue", "operator", "anna", "--out", tmp_path / "file" / "folder")
    assert done.code == 1
    assert not pki.authority.issued()


async def test_one_bad_file_keeps_no_other_from_being_renewed(pki: Pki, tmp_path: Path) -> None:
    good, bad, missing = tmp_path / "good.crt", tmp_path / "bad.crt", tmp_path / "missing.crt"
    certified_key = pki.certified_key(BERLIN)
    good.write_bytes(certified_key.certificate)
    bad.write_bytes(b"junk")
    done = await run(pki.folder, "renew", bad, missing, good, "--left", "1")
    assert (done.code, "2 of 3 could not be renewed" in done.err) == (1, True)
    assert f"{bad}: is no certificate in PEM" in done.err
    assert f"{missing}: No such file" in done.err
    assert x509.load_pem_x509_certificate(good.read_bytes()) != certified_key.issued.certificate


async def test_many_tokens_at_once_or_none(pki: Pki, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("projects/acme/pbxs/berlin\nprojects/acme/pbxs/kiel\n\n")
    done = await run(pki.folder, "token", "pbx", "--file", names)
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [name for name, _ in lines] == ["projects/acme/pbxs/berlin", "projects/acme/pbxs/kiel"]
    for name, token in lines:
        assert pki.authority.holder(token, now=time.time()).resource == name
    names.write_text("projects/acme/pbxs/paris\nkiel\n")
    before = (pki.folder / "tokens.json").read_bytes()
    done = await run(pki.folder, "token", "pbx", "--file", names)
    assert (done.code, (pki.folder / "tokens.json").read_bytes() == before) == (1, True)


def test_addresses_of_both_families_are_named(tmp_path: Path) -> None:
    """An IPv6 address also as it stands before a port."""
    authority = Authority.create(tmp_path / "pki", name="test", days=1, now=time.time())
    hosts = ["192.0.2.7", "2001:db8::10", "[2001:db8::11]", "localhost"]
    certificate = authority.issue_server(hosts, new_key().public_key(), days=1, now=time.time()).certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(value) for value in names.get_values_for_type(x509.IPAddress)]
    assert addresses == ["192.0.2.7", "2001:db8::10", "2001:db8::11"]
