"""`license-master license`: import, bind, release, rebind, cancel, approve, certify, against a real master."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import document_pb2, license_pb2
from tests.cli.command import COMMAND, LIMIT_SECONDS, surroundings
from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, certify, enrolled, imported, listed, release


async def stocked(master: InProcess, *, bound: bool = True) -> None:
    """Ten ports on hq-box, or free."""
    await master.wire.apply(project({}))
    await imported(master.wire, Vendor(), {"ports": ("PBX-Port12", 10)}, now=master.clock.now)
    if bound:
        granted_all = await bind(master.wire, "hq-box", "ports")
        assert all(result.HasField("moved") for result in granted_all)


async def stocked_with_key(master: InProcess, folder: Path) -> DeviceKey:
    """The same; hq-box had its key before its license, so that its word counts (L2)."""
    await stocked(master, bound=False)
    key = await enrolled(master.wire, folder, "hq-box")
    await bind(master.wire, "hq-box", "ports")
    return key


async def busy(master: InProcess, count: int) -> BarePbx:
    """So many phones at Berlin."""
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", count)))
    return berlin


def vendor_file(folder: Path, vendor: Vendor, name: str, *, now: float, project: str = "acme", file: str = "") -> Path:
    path = folder / f"{name}.json"
    document = vendor.issue({name: ("PBX-Port12", 5)}, now=now, project=project, file=file)
    path.write_text(documents.to_text(document))
    return path


@pytest.mark.rule("L1")
async def test_files_are_imported_once_and_bad_ones_are_told_apart(
    today: Cli, today_master: InProcess, tmp_path: Path
) -> None:
    now = today_master.clock.now
    await today_master.wire.apply(project({}))
    vendor, stranger = Vendor(), Vendor()
    good = vendor_file(tmp_path, vendor, "good", now=now, file="f-1")
    untrusted = await today("license", "import", good)
    assert (untrusted.code, untrusted.out) == (1, "")
    assert "DOCUMENT_UNKNOWN_KEY" in untrusted.err
    assert "try: compare the key with its owner's; `license-master vendor trust" in untrusted.err
    assert (await today("vendor", "keys")).err.startswith("no vendor's key is trusted yet")
    trusted = await today("vendor", "trust", vendor.public_key.hex(), "--name", "test vendor")
    assert trusted.out == f"trusted: key {documents.key_id_of(vendor.public_key)} test vendor\n"
    first = await today("license", "import", good)
    assert (first.code, first.err) == (0, "")
    assert "good.json: file f-1 imported" in first.out
    again = await today("license", "import", good, "--json")
    assert json.loads(again.out)["imports"][0]["already_imported"] is True

    later = vendor_file(tmp_path, vendor, "later", now=now + 3_600)
    foreign = vendor_file(tmp_path, vendor, "foreign", now=now, project="other")
    forged = vendor_file(tmp_path, stranger, "forged", now=now)
    expired = vendor_file(tmp_path, vendor, "expired", now=now - 200_000)
    twice = vendor_file(tmp_path, vendor, "twice", now=now, file="f-1")
    fine = vendor_file(tmp_path, vendor, "fine", now=now)
    missing = tmp_path / "missing.json"
    mixed = await today("license", "import", later, foreign, forged, expired, twice, missing, fine)
    assert mixed.code == 1
    assert next(line for line in mixed.out.splitlines() if "imported" in line).startswith(f"{fine}: file f-")
    for file, said in (
        (later, "it is not valid yet"),
        (foreign, "it is for another project: it is for 'other', not for 'acme'"),
        (forged, "its key is not trusted here"),
        (expired, "it is no longer valid"),
        (twice, "another file f-1 was imported before"),
    ):
        assert re.search(rf"^error: {file}: .*{re.escape(said)}", mixed.err, re.MULTILINE), said
    assert f"cannot read {missing}: No such file or directory" in mixed.err
    assert set(await listed(today_master.wire)) == {"good", "fine"}


async def test_altered_files_and_documents_of_another_kind_change_nothing(
    today: Cli, today_master: InProcess, tmp_path: Path
) -> None:
    await stocked(today_master)
    vendor = Vendor()
    await today("vendor", "trust", vendor.public_key.hex())
    file = vendor_file(tmp_path, vendor, "more", now=today_master.clock.now)
    document = documents.from_text(file.read_text())
    document.payload = document.payload[:-1] + bytes([document.payload[-1] ^ 1])
    file.write_text(documents.to_text(document))
    altered = await today("license", "import", file)
    assert altered.code == 1
    assert "it is forged or altered" in altered.err
    shown = await today("vendor", "show", file, "--trusted")
    assert shown.code == 1
    assert "not verified" in shown.out
    carried = tmp_path / "carried"
    assert (await today("license", "documents", "--out", carried)).out == f"{carried}/ports.binding.json  for hq-box\n"
    other = await today("license", "import", carried / "ports.binding.json")
    assert "this is a binding, not a license file" in other.err
    assert "vendor show" in other.err
    assert (
        "this is a binding, not a security certificate"
        in (await today("license", "certify", carried / "ports.binding.json")).err
    )
    assert list(await listed(today_master.wire)) == ["ports"]


async def test_a_vendor_changes_its_key(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await today_master.wire.apply(project({}))
    for name in ("old", "new"):
        await today("vendor", "keygen", "--out", tmp_path / name)
    await today("vendor", "trust", tmp_path / "old.pub")
    introduction = tmp_path / "introduction.json"
    made = await today(
        "vendor", "introduce", "--key", tmp_path / "old", "--new", tmp_path / "new.pub", "--name", "next",
        "--retire-previous", "2026-01-01", "--out", introduction,
    )  # fmt: skip
    assert made.code == 0
    trusted = await today("vendor", "trust", "--introduction", introduction)
    assert re.fullmatch(r"trusted: key [0-9a-f]{16} next\n", trusted.out)
    for name, code in (("old", 1), ("new", 0)):
        file = tmp_path / f"{name}.json"
        await today(
            "vendor", "issue", "--key", tmp_path / name, "--project", "acme", "--license", f"{name}=PBX-Port12:1",
            "--out", file,
        )  # fmt: skip
        done = await today("license", "import", file)
        assert done.code == code, done.err
        assert ("DOCUMENT_KEY_RETIRED" in done.err) is bool(code)
    keys = await today("vendor", "keys")
    assert "retired 2026-01-0" in keys.out
    listed_keys = json.loads((await today("vendor", "keys", "--json")).out)["keys"]
    newest = next(key["key_id"] for key in listed_keys if key["introduced_by"])
    assert (await today("vendor", "distrust", newest)).code == 0
    assert "distrusted" in (await today("vendor", "keys")).out
    unknown = await today("vendor", "distrust", "0" * 16)
    assert unknown.code == 1
    assert "`license-master vendor keys` lists them" in unknown.err


@pytest.mark.parametrize("arguments", [["vendor", "trust"], ["vendor", "trust", "00" * 32, "--introduction", "file"]])
async def test_one_key_is_trusted_at_a_time(today: Cli, arguments: list[str]) -> None:
    assert (await today(*arguments)).code == 2


@pytest.mark.rule("L1", "L3")
async def test_binding(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked(today_master, bound=False)
    planned = await today("license", "bind", "ports", "--to", "hq-box", "--dry-run", "--binding-out", tmp_path / "no")
    assert planned.out.startswith("nothing was changed; it would be:")
    assert not (tmp_path / "no").exists()
    assert "free" in (await today("license", "list")).out
    mixed = await today("license", "bind", "ports", "nothing", "--to", "hq-box", "--binding-out", tmp_path / "out")
    assert mixed.code == 1
    assert "● refused  nothing: unknown license (L1)" in mixed.out
    assert "bound" in mixed.out
    document = documents.from_text((tmp_path / "out" / "ports.binding.json").read_text())
    assert document.kind == document_pb2.DOCUMENT_KIND_BINDING
    again = await today("license", "bind", "ports", "--to", "hq-box", "--json")
    assert again.code == 1
    assert json.loads(again.out)["results"][0]["refused"]["problem"] == "MOVE_PROBLEM_ALREADY_THERE"
    elsewhere = await today("license", "bind", "ports", "--to", "nowhere")
    assert "'nowhere' is no device of project acme" in elsewhere.out
    assert "→ name one of berlin-box, hq-box" in elsewhere.out


async def test_listing(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX UC12": 3}))
    licenses = {f"ports-{number:04}": ("PBX-Port12", 1) for number in range(1000)}
    await imported(today_master.wire, Vendor(), licenses, now=today_master.clock.now)
    await imported(today_master.wire, Vendor(), {"last": ("PBX-Port12", 1)}, now=today_master.clock.now)
    assert "the first 100; --limit 0 shows all" in (await today("license", "list")).err
    everything = json.loads((await today("license", "list", "--limit", "0", "--json")).out)["licenses"]
    assert len(everything) == 1002
    bound = (await today("license", "list", "--state", "bound")).out
    assert "project file" in bound
    assert "ports-0001" not in bound
    assert "PBX UC12" in (await today("license", "list", "--type", "uc")).out
    assert (await today("license", "list", "--device", "berlin-box")).err == "no licenses match\n"
    assert (await today("license", "list", "--state", "asleep")).code == 2


@pytest.mark.rule("L5")
async def test_what_is_in_use_is_refused_with_the_ways_on(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked_with_key(today_master, tmp_path)
    await busy(today_master, 4)
    refused = await today("license", "release", "ports")
    assert refused.code == 1
    for said in (
        "● refused  ports: in use (L5)",
        "site-berlin",
        "license-master license release ports --drain",
        "license-master license release ports --revoke",
    ):
        assert said in refused.out
    moving = await today("license", "rebind", "ports", "--to", "berlin-box")
    assert "license-master license rebind ports --to berlin-box --drain" in moving.out
    assert (await listed(today_master.wire))["ports"].state == license_pb2.LICENSE_STATE_BOUND


async def test_a_device_without_a_key_is_pointed_to_its_token(today: Cli, today_master: InProcess) -> None:
    await stocked(today_master)
    refused = await today("license", "release", "ports")
    assert refused.code == 1
    assert "device not enrolled" in refused.out
    assert "license-master device token hq-box" in refused.out
    assert "license-master license release ports --dead" in refused.out


@pytest.mark.rule("L2", "L5")
async def test_taking_seats_away_is_confirmed_after_the_risk_is_told(
    today: Cli, today_master: InProcess, tmp_path: Path
) -> None:
    await stocked_with_key(today_master, tmp_path)
    await busy(today_master, 4)
    unasked = await today("license", "release", "ports", "--revoke")
    assert unasked.code == 1
    assert "This means 4 seats taken away from those who hold them." in unasked.err
    assert "this has to be confirmed" in unasked.err
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, b"n\n")
        answered_no = await today("license", "release", "ports", "--revoke", stdin=terminal)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert answered_no.code == 1
    assert "nothing was changed" in answered_no.err
    assert (await listed(today_master.wire))["ports"].state == license_pb2.LICENSE_STATE_BOUND
    done = await today("license", "release", "ports", "--revoke", "--yes", "--json")
    assert done.code == 0
    assert json.loads(done.out)["results"][0]["seats_revoked"] == 4
    today_master.clock.advance(3_600)
    forced = await today("license", "release", "ports", "--force")
    assert "4 of PBXs out of reach, no longer counted although they may still be in use" in forced.err
    assert "up to 4 more seats may be in use than there are licenses" in forced.err
    assert (await today("license", "release", "ports", "--force", "--yes")).code == 0
    assert (await listed(today_master.wire))["ports"].release.seats_to_go == 0


@pytest.mark.parametrize(
    "options", [["--drain", "--revoke"], ["--revoke", "--force"], ["--drain", "--force", "--yes"], ["--timeout", "-1"]]
)
async def test_contradictions_are_no_command_line(today: Cli, options: list[str]) -> None:
    assert (await today("license", "release", "ports", *options)).code == 2


async def test_a_drain_is_watched_to_its_end(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    key = await stocked_with_key(today_master, tmp_path)
    berlin = await busy(today_master, 4)
    process = await asyncio.create_subprocess_exec(
        COMMAND, "license", "rebind", "ports", "--to", "berlin-box", "--drain", "--wait",
        "--binding-out", str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env=surroundings(LICENSE_MASTER_SERVER=today_master.wire.address),
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(LIMIT_SECONDS):
        await until(process.stdout, "ports: to berlin-box: waits for 4 seats to go and the certificate of hq-box")
        await berlin.give_back(*seats("port", 1))
        await until(process.stdout, "ports: to berlin-box: waits for 3 seats to go and the certificate of hq-box")
        await certify(today_master.wire, key, (await listed(today_master.wire))["ports"].release.request)
        await until(process.stdout, "ports: to berlin-box: certified; waits for 3 seats to go")
        await berlin.give_back(*seats("port", 4))
        await today_master.running.licenses.complete_releases()
        rest = (await process.stdout.read()).decode()
        assert await process.wait() == 0
    assert re.search(r"ports .* bound .* berlin-box", rest)
    binding = documents.from_text((tmp_path / "ports.binding.json").read_text())
    said = documents.read_payload(binding, document_pb2.Binding)
    assert (said.device, said.number) == ("projects/acme/devices/berlin-box", 2)


async def until(stream: asyncio.StreamReader, line: str) -> None:
    """Read up to a line."""
    while (read := await stream.readline()) and line not in read.decode():
        pass
    assert line in read.decode()


async def test_waiting_has_an_end(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked_with_key(today_master, tmp_path)
    late = await today("license", "release", "ports", "--wait", "--timeout", "0.2")
    assert late.code == 1
    assert "waits for the certificate of hq-box" in late.out
    assert "the release goes on by itself" in late.err
    quiet = await today("license", "release", "ports", "--wait", "--timeout", "0.2", "--json")
    assert quiet.code == 1
    assert json.loads(quiet.out)["results"][0]["moved"]["state"] == "LICENSE_STATE_RELEASING"


async def test_a_release_is_given_up(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked_with_key(today_master, tmp_path)
    await release(today_master.wire, "ports")
    cancelled = await today("license", "cancel", "ports", "--reason", "changed my mind")
    assert cancelled.code == 0
    assert "bound" in cancelled.out
    again = await today("license", "cancel", "ports", "--json")
    assert again.code == 1
    assert json.loads(again.out)["results"][0]["refused"]["problem"] == "MOVE_PROBLEM_NO_RELEASE_UNDER_WAY"


@pytest.mark.rule("L2")
async def test_two_operators_bury_a_device(today: Cli, today_master: InProcess) -> None:
    await stocked(today_master)
    unasked = await today("license", "release", "ports", "--dead")
    assert "nobody certifies that hq-box does not use it" in unasked.err
    asked = await today("license", "release", "ports", "--dead", "--yes", LOGNAME="alice")
    assert asked.code == 0
    assert "waits for a second operator's approval" in asked.out
    same = await today("license", "approve", "ports", LOGNAME="alice")
    assert same.code == 1
    assert "same operator" in same.out
    approved = await today("license", "approve", "ports", LOGNAME="bob")
    assert approved.code == 0
    assert "cooling off" in approved.out
    early = await today("license", "bind", "ports", "--to", "berlin-box")
    assert early.code == 1
    assert "cooling off (L2, L3)" in early.out


@pytest.mark.rule("L2")
async def test_certificates_are_handed_in(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    key = await stocked_with_key(today_master, tmp_path)
    await release(today_master.wire, "ports", to_device="berlin-box")
    carried = tmp_path / "carried"
    assert (await today("license", "documents", "--device", "hq-box", "--out", carried)).code == 0
    request = documents.from_text((carried / "ports.release-request.json").read_text())
    certificate = tmp_path / "certificate.json"
    certificate.write_text(documents.to_text(key.certify(request)))
    done = await today("license", "certify", certificate, "--binding-out", carried)
    assert done.out == "ports: certified; on berlin-box\n"
    assert (carried / "ports.binding.json").exists()
    await today("license", "certify", certificate)
    after = (await listed(today_master.wire))["ports"]
    assert (after.device, after.binding) == ("berlin-box", 2)
