"""A name that there is not is refused by every command alike: with what may have been meant, or what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened
from tests.support.projects.allocations import Rule, lay_down
from tests.support.projects.estates import project

SITES = "there are site-berlin, site-hq"
DEVICES = "there are berlin-box, hq-box"
TYPES = "there are app_sharing, fax, g729,"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("seats --site x", f"'x' is no site of the project; {SITES}"),
        ("seats --type x", f"'x' is no license type of the project; {TYPES}"),
        ("waiting --type x", f"'x' is no license type of the project; {TYPES}"),
        ("waiting drop berlin --type x --reason left --yes", f"'x' is no license type of the project; {TYPES}"),
        ("license list --type x", f"'x' is no license type of the project; {TYPES}"),
        ("license list --device x", f"'x' is no device of the project; {DEVICES}"),
        ("license list --device berlin-bx", "'berlin-bx' is no device of the project; did you mean 'berlin-box'?"),
        ("plan upgrade --to 13 --site x", f"'x' is no site with a PBX; {SITES}"),
        ("plan release x", "'x' is no license of project acme; there are license-1"),
        ("plan central x", "'x' is no PBX of project acme; there are berlin, hq"),
        ("allocation reserve x port 1", f"'x' is no site of this project; {SITES}"),
        ("allocation maximum site-berln port 1", "no site of this project; did you mean 'site-berlin'?"),
        ("allocation weight group:x port 1", "'x' is no group of [[groups]]; there are none"),
        ("allocation emergencies x --no-longer", "no rule says that 'x' serves emergencies"),
    ],
)
async def test_what_there_is_is_said(today: Cli, today_master: InProcess, typed: str, said: str) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}))
    await opened(today_master.wire, "berlin")
    done = await today(*typed.split())
    assert (done.code, said in done.err) == (1, True), done.err


async def test_a_question_for_pools_says_which_there_are(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}))
    other = await today("pools", "--device", "berlin-box", "--type", "fax")
    assert (other.code, other.err) == (0, "no pools match: 'berlin-box' is no device with licenses; there are hq-box: "
        "'fax' is no license type with a pool; there are port\n")  # fmt: skip


async def test_a_project_file_says_what_it_has(today: Cli, tmp_path: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text(
        """
name = "acme"
catalog = "innovaphone"
sites = [{ name = "hq" }]
devices = [{ name = "hq-box", platform = "gateway" }]
pbxs = [{ name = "hq", site = "x", device = "hq-bx", role = "master", software_version = "12r1", standby_for = "y" }]
"""
    )
    done = await today("project", "apply", file)
    assert done.code == 1
    for said in (
        "'x' is no site of this project; there are hq",
        "'hq-bx' is no device of this project; did you mean 'hq-box'?",
        "'y' is no PBX of this project; there are hq",
    ):
        assert said in done.err


@pytest.mark.parametrize(
    "typed",
    [
        "leases end projects/acme/pbxs/berlin --reason scrapped --dry-run",
        "explain projects/acme/pbxs/berlin port anna",
        "loan open projects/acme/pbxs/berlin port 1 --days 1 --reason fair --dry-run",
        "loan return projects/acme/pbxs/berlin port --reason over --yes",
        "waiting drop projects/acme/pbxs/berlin --reason left --yes",
        "standby drill projects/acme/pbxs/berlin",
        "device check-upgrade projects/acme/devices/berlin-box 7.4",
        "agreement may-run projects/acme/licenses/license-1 3.2",
        "webhook test projects/acme/webhooks/pager",
        "seats --pbx projects/acme/pbxs/berlin",
        "events --pbx projects/acme/pbxs/berlin",
        "plan central projects/acme/pbxs/berlin",
        "standby check --pair projects/acme/pbxs/berlin",
    ],
)
async def test_a_name_is_taken_as_json_shows_it(today: Cli, today_master: InProcess, typed: str) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}))
    await opened(today_master.wire, "berlin")
    full, short = await today(*typed.split()), await today(*_without_paths(typed).split())
    assert (full.code, _without_paths(full.out), full.err) == (short.code, short.out, short.err)


async def test_what_a_name_must_look_like_is_said(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}))
    done = await today("explain", "projects/acme/berlin", "port", "anna")
    assert "must be projects/PROJECT/pbxs/PBX" in done.err


def _without_paths(text: str) -> str:
    return re.sub(r"projects/acme/[a-z]+/", "", text)


@pytest.mark.parametrize(
    "typed",
    [
        "allocation|maximum||port|0",
        "allocation|reserve| |port|1",
        "allocation|emergencies|group:|--no-longer",
        "project|delete||--reason|mistyped|--yes",
        "license|rebind|license-1|--to|",
        "license|release|license-1||--yes",
        "waiting|drop|berlin|--type||--reason|left|--yes",
        "leases|end||--reason|closed|--yes",
        "seats|--site| ",
        "pools|--device|",
    ],
)
async def test_an_empty_name_is_never_all_or_another(today: Cli, today_master: InProcess, typed: str) -> None:
    """As where a script's variable is not set."""
    await today_master.wire.apply(project({"PBX-Port12": 10}))
    await lay_down(today_master.wire, Rule(name="all", maximum={"port": 9}, serves_emergencies=False))
    stands = (await today("allocation", "show")).out
    done = await today(*typed.split("|"))
    assert (done.code, done.out, "empty" in done.err or "names no group" in done.err) == (2, "", True), done.err
    assert (await today("allocation", "show")).out == stands
