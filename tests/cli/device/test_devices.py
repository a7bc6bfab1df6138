"""`license-master device`: on the device and at the master, over the line and carried by hand."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from licensemaster.signing import documents
from licensemaster.signing.device_key import DeviceKey
from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, approve, bind, enrolled, imported, listed, release

NAME = "projects/acme/devices/hq-box"


async def token(cli: Cli) -> str:
    made = await cli("device", "token", "hq-box")
    assert made.code == 0
    assert f"for {NAME}, once, until " in made.err
    return made.out.strip()


async def stocked(master: InProcess, *devices: str) -> None:
    await master.wire.apply(project({}))
    licenses = {f"ports-{device}": ("PBX-Port12", 10) for device in devices}
    if devices:
        await imported(master.wire, Vendor(), licenses, now=master.clock.now)
    for device in devices:
        await bind(master.wire, device, f"ports-{device}")


@pytest.mark.rule("L2")
async def test_a_device_over_the_line(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked(today_master, "hq-box")
    folder = tmp_path / "device"
    assert (await today("device", "create", "--folder", folder, "--name", NAME)).code == 0
    assert "not enrolled yet" in (await today("device", "show", "--folder", folder)).out
    assert "a token waits for it" not in (await today("device", "list")).out
    secret = await token(today)
    assert "a token waits for it" in (await today("device", "list")).out
    for _ in range(2):  # a retry is answered alike
        enrolment = await today("device", "enroll", "--folder", folder, "--token", secret)
        assert (enrolment.code, enrolment.out) == (0, f"{NAME} is enrolled\n")
    accepted = await today("device", "accept", "--folder", folder)
    assert accepted.out == "ports-hq-box: 10 PBX-Port12, binding 1\n"
    shown = json.loads((await today("device", "show", "--folder", folder, "--json")).out)
    assert (shown["device"], shown["enrolled"]) == (NAME, True)
    assert shown["licenses"] == [{"license": "ports-hq-box", "type": "PBX-Port12", "quantity": 10, "binding": 1}]
    devices = json.loads((await today("device", "list", "--json")).out)["devices"]
    assert [device["key_id"] for device in devices if device["device"] == "hq-box"] == [shown["key_id"]]
    assert (await today("device", "certify", "--folder", folder)).err == "nothing is to be certified by this device\n"
    await release(today_master.wire, "ports-hq-box")
    certified = await today("device", "certify", "--folder", folder)
    assert certified.out == "ports-hq-box: certified, and the master knows\n"
    assert (await listed(today_master.wire))["ports-hq-box"].release.awaits_approval, "its first key came after it"
    await approve(today_master.wire, "ports-hq-box", caller="second")
    assert (await listed(today_master.wire))["ports-hq-box"].device == ""
    assert (await today("device", "accept", "--folder", folder)).err == "nothing is bound to this device\n"


@pytest.mark.rule("L2")
async def test_a_device_without_a_line(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked(today_master, "hq-box")
    folder, stick = tmp_path / "device", tmp_path / "stick"
    stick.mkdir()
    await today("device", "create", "--folder", folder, "--name", NAME)
    secret = await token(today)
    written = await today("device", "enroll", "--folder", folder, "--token", secret, "--request-out", stick / "e.json")
    assert "device admit" in written.out
    assert stat.S_IMODE((stick / "e.json").stat().st_mode) == 0o600, "the token is in it"
    assert (await today("device", "admit", stick / "e.json", "--answer-out", stick / "a.json")).code == 0
    assert (await today("device", "answer", "--folder", folder, stick / "a.json")).out == f"{NAME} is enrolled\n"
    await today("license", "documents", "--out", stick)
    assert (await today("device", "accept", "--folder", folder, stick / "ports-hq-box.binding.json")).code == 0
    await release(today_master.wire, "ports-hq-box")
    await today("license", "documents", "--out", stick)
    request = stick / "ports-hq-box.release-request.json"
    for out in (stick / "c.json", stick):
        assert (await today("device", "certify", "--folder", folder, request, "--out", out)).code == 0
    assert (stick / "ports-hq-box.certificate.json").read_text() == (stick / "c.json").read_text()
    answer = (await today("license", "certify", stick / "c.json")).out
    assert answer == "ports-hq-box: certified; waits for a second operator's approval\n"


async def test_what_a_device_will_not_do(today: Cli, today_master: InProcess, tmp_path: Path) -> None:
    await stocked(today_master, "hq-box", "berlin-box")
    await enrolled(today_master.wire, tmp_path, "hq-box")
    carried, folder = tmp_path / "carried", tmp_path / "hq-box"
    await enrolled(today_master.wire, tmp_path, "berlin-box")
    await release(today_master.wire, "ports-berlin-box")
    await today("license", "documents", "--out", carried)
    foreign = carried / "ports-berlin-box.release-request.json"
    own = carried / "ports-hq-box.binding.json"
    DeviceKey.create(tmp_path / "fresh", device=NAME)
    forged = carried / "forged.json"
    document = documents.from_text(own.read_text())
    document.signature = bytes(64)
    forged.write_text(documents.to_text(document))
    for arguments, said in (
        (("create", "--folder", folder, "--name", NAME), "a device keeps its key"),
        (("certify", "--folder", folder, foreign, "--out", carried), "this concerns projects/acme/devices/berlin-box"),
        (("accept", "--folder", folder, forged), f"{forged}: the signature is not that of key"),
        (("accept", "--folder", folder, foreign), "this is a release request, not a binding"),
        (("accept", "--folder", folder, tmp_path / "missing"), "missing: No such file or directory"),
        (("accept", "--folder", tmp_path / "fresh", own), "does not know its master yet; enrol it first"),
        (("show", "--folder", tmp_path / "nowhere"), "create the device's key first"),
        (("answer", "--folder", folder, own), "this is a binding, not an enrollment answer"),
        (("enroll", "--folder", tmp_path / "fresh", "--token", "wrong"), "DOCUMENT_TOKEN_INVALID"),
        (("admit", own, "--answer-out", carried / "a.json"), "this is a binding, not an enrollment"),
        (("token", "nowhere"), "`license-master device list` lists them"),
        (("token", "hq-box"), "DEVICE_HOLDS_LICENSES"),
    ):
        done = await today("device", *arguments)
        assert done.code == 1, arguments
        assert said in done.err, arguments
    assert not (carried / "a.json").exists()


@pytest.mark.parametrize("name", ["hq-box", "projects/acme/hq-box", "projects//devices/hq-box", "projects/a/pbxs/hq"])
async def test_a_device_needs_its_full_name(today: Cli, tmp_path: Path, name: str) -> None:
    done = await today("device", "create", "--folder", tmp_path / "device", "--name", name)
    assert done.code == 2
    assert not (tmp_path / "device").exists()


async def test_a_damaged_folder_is_said_to_be_one(today: Cli, tmp_path: Path) -> None:
    DeviceKey.create(tmp_path, device=NAME)
    (tmp_path / "device.json").write_text("{")
    done = await today("device", "show", "--folder", tmp_path)
    assert done.code == 1
    assert f"error: {tmp_path} cannot be read: " in done.err


async def test_a_project_without_devices_has_none_to_list(today: Cli, today_master: InProcess) -> None:
    await stocked(today_master)
    listed_devices = await today("device", "list")
    assert "berlin-box" in listed_devices.out
    assert "none" in listed_devices.out
