"""The command against a real master: examples applied, questions answered, seats and leases listed."""

import asyncio
import json
import os
import re
import shlex
from pathlib import Path

import pytest

from licensemaster.v1 import project_pb2
from master.cli.operator.projects.message_file import PROJECT, read_file
from tests.cli.command import COMMAND
from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seat, seats
from tests.support.projects.estates import project

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
QUESTION = re.compile(r"^#   license-master (explain .+?) +(granted|refused)\b", re.MULTILINE)


def values(text: str, *keys: str) -> list[object]:
    shown = json.loads(text)
    return [shown[key] for key in keys]


def example(name: str) -> Path:
    return next(path for path in EXAMPLES if path.stem == name)


def unordered(path: Path) -> project_pb2.Project:
    """A project as the master keeps it: sites, devices, PBXs and licenses by name."""
    read = read_file(path, PROJECT).message
    for items in (read.sites, read.devices, read.pbxs):
        items.sort(key=lambda named: named.name)
    read.licenses.sort(key=lambda license: license.id)
    return read


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_is_applied_and_answers_as_its_head_says(cli: Cli, path: Path, tmp_path: Path) -> None:
    applied = await cli("project", "apply", str(path), "--all")
    assert (applied.code, applied.err) == (0, "")
    assert "warning" not in applied.out
    assert f"applied: {path.stem}, " in applied.out
    expected = unordered(path)
    assert all(license.id in applied.out for license in expected.licenses)

    copy = tmp_path / "copy.toml"
    copy.write_text((await cli("project", "show")).out)
    assert unordered(copy) == expected
    assert (await cli("project", "apply", str(copy))).out.startswith("nothing to change\n")

    asked = questions(path)
    answers = await asyncio.gather(*(cli(*shlex.split(question)) for question, _ in asked))
    for (question, answer), explained in zip(asked, answers, strict=True):
        assert f"● {answer}" in explained.out, question
        assert explained.code == (0 if answer == "granted" else 1)


def questions(path: Path) -> list[tuple[str, str]]:
    """The questions that the head of an example asks, with its answers."""
    return QUESTION.findall(path.read_text())


async def test_a_dry_run_and_a_check_change_nothing(cli: Cli) -> None:
    path = str(example("demo"))
    checked = await cli("project", "check", path)
    assert (checked.code, checked.err) == (0, "")
    assert "demo.toml: good; 4 sites, 4 PBXs, 5 license items; applying it makes " in checked.out
    dry = await cli("project", "apply", path, "--dry-run", "--yes")
    assert (dry.code, dry.err) == (0, "")
    assert "ipva-paris" in dry.out
    assert "applied" not in dry.out
    assert (await cli("project", "list")).out == ""


def test_examples_ask_questions() -> None:
    assert all(questions(path) for path in EXAMPLES if path.stem != "demo")


async def test_what_the_master_refuses_stands_on_a_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(
        'name = "acme"\ncatalog = "innovaphone"\n\n[[devices]]\nname = "Box"\nplatform = "gateway"\n'
        'licenses = 1\n\n[[licenses]]\nid = "a"\ntype = "PBX-Prot12"\nquantity = 0\n'
    )
    refused = await cli("project", "apply", str(path), "--yes")
    assert refused.code == 1
    assert f"{path}:7: devices[0].licenses: unknown key" in refused.err
    path.write_text(path.read_text().replace("licenses = 1\n", "\n", 1))
    refused = await cli("project", "apply", str(path), "--yes")
    assert refused.code == 1
    assert f"{path}:5: devices[0].name: 'Box' must be 1 to 63 of a-z" in refused.err
    assert f"{path}:11: licenses[0].type: 'PBX-Prot12' is no license" in refused.err
    assert f"{path}:12: licenses[0].quantity: 0 must be between" in refused.err
    assert f"{path}: pbxs: exactly one PBX must have the role master" in refused.err
    assert json.loads((await cli("project", "list", "--json")).out) == {"names": [], "next_page_token": ""}


async def test_seats_leases_events_and_status(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 3, "PBX UC12": 1}, pbxs={"berlin": "slave 12 gateway"}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 3), seat("uc", "phone-0"), seat("mypbx", "phone-0")))

    listed = await cli("seats", "--holder", "phone-0")
    assert listed.code == 0
    assert "included in uc" in listed.out
    assert "phone-1" not in listed.out
    [held, token] = values((await cli("seats", "--type", "PBX-Port", "--json")).out, "seats", "next_page_token")
    assert isinstance(held, list)
    assert [row["seat"]["holder"] for row in held] == ["phone-0", "phone-1", "phone-2"]
    assert token == ""
    cut = await cli("seats", "--limit", "2")
    assert "the first 2; --limit 0 shows all" in cut.err
    assert (await cli("seats", "--holder", "nobody")).err == "no seats are held\n"
    elsewhere = await cli("seats", "--site", "nowhere")
    assert elsewhere.err.splitlines() == [
        "error: 'nowhere' is no site of the project; there are site-berlin, site-hq",
        "  reason: UNKNOWN_NAME",
    ]

    leases = json.loads((await cli("leases", "--state", "active", "--json")).out)["leases"]
    assert [(lease["pbx"], lease["seats"], lease["epoch"]) for lease in leases] == [("projects/acme/pbxs/berlin", 4, 1)]
    assert "berlin" in (await cli("leases")).out
    assert "berlin" not in (await cli("leases", "--state", "none")).out

    events = json.loads((await cli("events", "--json")).out)["events"]
    assert events
    kind = events[-1]["kind"]
    assert {event["kind"] for event in json.loads((await cli("events", "--kind", kind, "--json")).out)["events"]} == {
        kind
    }
    assert kind in (await cli("events")).out

    status = await cli("status")
    for said in ["acme", "● 1 active", "● 1 without a lease", "PBX-Port", "V12", "site-berlin"]:
        assert said in status.out
    [pools] = values((await cli("pools", "--type", "PBX Port", "--json")).out, "pools")
    assert isinstance(pools, list)
    assert [(pool["device"], pool["capacity"], pool["used"], pool["free"]) for pool in pools] == [("hq-box", 3, 3, 0)]
    assert "hq-box" in (await cli("pools", "--device", "hq-box")).out


async def test_a_refusal_is_explained(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 2)))
    explained = await cli("explain", "berlin", "PBX-Port", "anna")
    assert explained.code == 1
    for said in ["pool exhausted", "2 installed · 2 in use · 1 wanted", "site-berlin", "→ ", "Lease  active"]:
        assert said in explained.out
    refusal = json.loads((await cli("explain", "berlin", "port", "anna", "--json")).out)["results"][0]["refused"]
    assert refusal["reason"] == "REFUSAL_REASON_POOL_EXHAUSTED"
    assert (refusal["capacity"], refusal["in_use"], refusal["wanted"]) == (2, 2, 1)
    assert refusal["remedy"]["quantity"] == 1
    held = await cli("explain", "projects/acme/pbxs/berlin", "port", "phone-0")
    assert held.code == 0
    assert "holds this seat already" in held.out


async def test_the_whole_list_is_read_page_after_page(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2500}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 2500)))
    listed = json.loads((await cli("seats", "--limit", "0", "--json")).out)["seats"]
    assert len({row["seat"]["holder"] for row in listed}) == len(listed) == 2500
    assert len(json.loads((await cli("seats", "--limit", "1100", "--json")).out)["seats"]) == 1100


async def test_unknown_names(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    for arguments in (["status", "--project", "nobody"], ["explain", "nowhere", "port", "anna"]):
        done = await cli(*arguments)
        assert done.code == 1
        assert done.err.startswith("error: ")
        assert "`license-master project " in done.err
    unknown = await cli("explain", "berlin", "PBX-Prot", "anna")
    assert unknown.code == 1
    assert "unknown license type" in unknown.out


async def test_the_project_must_be_named_where_there_are_several(cli: Cli, master: InProcess) -> None:
    for name in ("one", "two"):
        estate = project({"PBX-Port12": 2})
        estate.name = name
        await master.wire.apply(estate)
    refused = await cli("status")
    assert refused.code == 1
    assert "has several projects: one, two" in refused.err
    assert "revision 1" in (await cli("status", "--project", "two")).out
    assert "two" in (await cli("status", LICENSE_MASTER_PROJECT="two")).out


@pytest.mark.parametrize(
    ("typed", "code", "listed"), [(b"n\n", 1, ""), (b"\n", 1, ""), (b"y\n", 0, "demo\n"), (b"\x04", 1, "")]
)
async def test_an_operator_is_asked_first(cli: Cli, typed: bytes, code: int, listed: str) -> None:
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, typed)
        done = await cli("project", "apply", str(example("demo")), stdin=terminal)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "+   license" in done.out
    assert "Apply" in done.err
    assert done.code == code
    assert (await cli("project", "list")).out == listed


async def test_applying_as_json(cli: Cli) -> None:
    path = str(example("demo"))
    dry = json.loads((await cli("project", "apply", path, "--dry-run", "--json")).out)
    applied = json.loads((await cli("project", "apply", path, "--yes", "--json")).out)
    assert applied["changes"] == dry["changes"]
    assert applied["revision"] == 1
    again = json.loads((await cli("project", "apply", path, "--yes", "--json")).out)
    assert (again["changes"], again["revision"]) == ([], 1)
    shown = json.loads((await cli("project", "show", "--json")).out)
    assert shown["revision"] == 1
    assert shown["project"]["pbxs"][0]["role"] == "PBX_ROLE_MASTER"


async def test_warnings_are_shown_before_the_change(cli: Cli, master: InProcess, tmp_path: Path) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    shown = (await cli("project", "show")).out
    path = tmp_path / "acme.toml"
    path.write_text(shown.replace("PBX-Port12", "PBX-Port10"))
    dry = await cli("project", "apply", str(path), "--dry-run")
    assert dry.code == 0
    assert "~   license" in dry.out
    assert "warning: " in dry.out


async def test_status_is_watched(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "status",
        "--watch",
        "0.2",
        "--json",
        "--server",
        master.wire.address,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())
    assert first["revision"] == 1
    await master.wire.apply(project({"PBX-Port12": 3}))
    while json.loads(await process.stdout.readline())["revision"] != 2:
        pass
    process.send_signal(2)
    assert await process.wait() == 0
