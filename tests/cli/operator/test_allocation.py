"""`license-master allocation`: rules as a file, and one by one; contradictions are told with the lines of both."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from licensemaster.v1 import allocation_pb2, seat_pb2
from master.cli.operator.projects.allocation_edits import Scope, give, serve_emergencies, take_back
from master.cli.operator.projects.message_file import ALLOCATION, PROJECT, MessageFileError, read_file
from master.cli.operator.projects.message_toml import message_toml
from master.cli.output.failure import CommandFailed
from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.allocations import Rule, lay_down
from tests.support.projects.estates import project

EXAMPLES = Path(__file__).parents[3] / "examples"
EXAMPLE = EXAMPLES / "allocation" / "allocation.toml"
SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "shares.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_reads_and_writes_back(tmp_path: Path) -> None:
    allocation = read_file(EXAMPLE, ALLOCATION).message
    fair = next(rule for rule in allocation.rules if rule.name == "fair")
    assert (fair.reserve["port"], fair.start_time.ToJsonString()) == (20, "2037-03-08T23:00:00Z")
    assert read_file(written(tmp_path, message_toml(allocation)), ALLOCATION).message == allocation


def test_every_field_writes_back(tmp_path: Path) -> None:
    rule = Rule(
        name="r", group="g", reserve={"port": 1, "a b": 2}, deny=["port"], allow=["fax", 'a"b'], serves_emergencies=True
    )
    rule.holder_kinds.extend([seat_pb2.HOLDER_KIND_USER, seat_pb2.HOLDER_KIND_TRUNK])
    rule.end_time.FromMilliseconds(1_800_000_000_500)
    allocation = allocation_pb2.Allocation(
        groups=[allocation_pb2.SiteGroup(name="g", sites=["x"])],
        rules=[rule, Rule()],
        types=[allocation_pb2.TypePolicy(queue=allocation_pb2.QueuePolicy(length_max=1))],
    )
    assert read_file(written(tmp_path, message_toml(allocation)), ALLOCATION).message == allocation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('reserve = { port = "4" }', "shares.toml:2: rules[0].reserve.port: must be a whole number, not the text"),
        ("[rules.reserve]\nport = 1.5", "shares.toml:3: rules[0].reserve.port: must be a whole number"),
        ("reserve = 4", "shares.toml:2: rules[0].reserve: must be a table, not the number 4: write reserve = { NAME"),
        ('allow = "port"', 'shares.toml:2: rules[0].allow: must be a list, not the text "port": write it in [ ]'),
        ("allow = [4]", 'shares.toml:2: rules[0].allow[0]: must be a text, not the number 4: write it in quotes, "4"'),
        ('holder_kinds = ["usr"]', 'shares.toml:2: rules[0].holder_kinds[0]: "usr" is not one of'),
        ("start_time = 2026-03-01", "rules[0].start_time: must be a moment with its offset, as 2026-03-01T08:00:00+01"),
        ("start_time = 2026-03-01T08:00:00", "shares.toml:2: rules[0].start_time: must be a moment with its offset"),
        ('start_time = "monday"', "rules[0].start_time: must be a moment with its offset, as 2026-03-01T08:00:00"),
        ("serves_emergencies = 1", "shares.toml:2: rules[0].serves_emergencies: must be true or false, not the number"),
        ("resreve = { port = 4 }", "shares.toml:2: rules[0].resreve: unknown key; did you mean 'reserve'?"),
    ],
)
def test_mistakes_of_form(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MessageFileError) as failure:
        read_file(written(tmp_path, f"[[rules]]\n{text}\n"), ALLOCATION)
    assert said in "\n".join(failure.value.lines)


async def test_the_example_fits_the_estate_it_speaks_of(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(read_file(EXAMPLES / "demo.toml", PROJECT).message)
    checked = await today("allocation", "check", EXAMPLE)
    assert (checked.code, "good; 1 group, 4 rules, 1 type; applying it makes 6 changes" in checked.out) == (0, True)
    applied = await today("allocation", "apply", EXAMPLE, "--reason", "shared fairly")
    assert applied.code == 0, applied.err
    assert "applied: 6 changes" in applied.out
    shown = await today("allocation", "show")
    assert (await today("allocation", "example")).out == EXAMPLE.read_text(encoding="utf-8")
    assert "shared fairly" in (await today("events", "--kind", "allocation.applied")).out
    assert 'name = "control-room"' in shown.out
    again = json.loads((await today("allocation", "apply", EXAMPLE, "--json")).out)
    assert "changes" not in again or again["changes"] == []


async def test_a_contradiction_is_told_with_the_lines_of_both_rules(
    today: Cli, today_master: InProcess, tmp_path: Path
) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    rules = """
[[rules]]
name = "most"
site = "site-rome"
maximum = { port = 3 }

[[rules]]
name = "keep"
site = "site-rome"

[rules.reserve]
port = 5
"""
    refused = await today("allocation", "apply", written(tmp_path, rules))
    assert refused.code == 1
    said = " ".join(refused.err.split())
    assert "shares.toml:12: rules[1].reserve.port: 'keep' reserves 5 port" in said
    assert "'most' (rules[0], line 2)" in said
    assert (await today("allocation", "show")).out == "# No rules: first come, first served.\n"


@pytest.mark.rule("L8")
async def test_a_file_may_name_license_types_as_licenses_are_printed(
    today: Cli, today_master: InProcess, tmp_path: Path
) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    rules = """
[[types]]
license_type = "PBX-Port"
loan_days_max = 30

[[rules]]
name = "keep"
site = "site-rome"
reserve = { "PBX Port" = 5 }
deny = ["PBX UC"]
"""
    applied = await today("allocation", "apply", written(tmp_path, rules))
    assert applied.code == 0, applied.err
    shown = (await today("allocation", "show")).out
    assert all(said in shown for said in ('license_type = "port"', "reserve = { port = 5 }", 'deny = ["uc"]')), shown
    assert (await today("allocation", "apply", written(tmp_path, shown))).out == "nothing to change\n"
    assert (await today("allocation", "apply", written(tmp_path, rules))).out == "nothing to change\n"
    for reserve, line in (
        ('"PBX-Port12" = 5', "reserve.PBX-Port12: 'PBX-Port12' names a version or price tier, and this is about all"),
        ('"PBX-Port12" = 5', "licenses of the type; write 'port'"),
        ('"PBX Port" = 11', "shares.toml:9: rules[0].reserve.PBX Port: with 'keep' 11 port are reserved, and 10"),
        ('"PBX Port" = 5, port = 5', "reserve.PBX Port: 'PBX Port' is port, which is there too; give one number"),
        ('"PBX Part" = 5', "rules[0].reserve.PBX Part: 'PBX Part' is no license type; use one of"),
    ):
        refused = await today("allocation", "apply", written(tmp_path, rules.replace('"PBX Port" = 5', reserve)))
        assert (refused.code, line in " ".join(refused.err.split())) == (1, True), refused.err
    single = await today("allocation", "queue", "PBX-Port12", "5")
    assert (single.code, "'PBX-Port12' names a version" in single.err) == (1, True), single.err
    assert (await today("allocation", "show")).out == shown


async def test_who_gains_and_who_loses_is_shown_first(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    rome = await opened(today_master.wire, "rome")
    granted(await rome.acquire(*seats("port", 5)))
    dry = await today("allocation", "reserve", "site-berlin", "port", "4", "--dry-run")
    assert dry.code == 0, dry.err
    rows = [line.split() for line in dry.out.splitlines()]
    assert ["site-rome", "port", "5", "5", "1", "-4", "5"] in rows
    assert (await today("allocation", "show")).out.startswith("# No rules")
    assert (await today("allocation", "reserve", "site-berlin", "port", "4")).code == 0
    assert (await today("allocation", "weight", "site-berlin", "port", "3")).code == 0
    assert (await today("allocation", "priority", "site-rome", "port", "-1")).code == 0
    until = await today("allocation", "reserve", "site-rome", "port", "1", "--until", "2037-01-01T00:00+00:00")
    assert until.code == 0, until.err
    shown = (await today("allocation", "show")).out
    assert "reserve = { port = 4 }, weight = { port = 3 }" in " ".join(shown.split())
    assert "end_time = 2037-01-01T00:00:00Z" in shown
    slip = await today("allocation", "remove", "site-berlim")
    assert (slip.code, "did you mean 'site-berlin'?" in slip.err) == (1, True)
    assert (await today("allocation", "remove", "site-berlin")).code == 0
    assert "site-berlin" not in (await today("allocation", "show")).out
    unknown = await today("allocation", "maximum", "site-berlim", "port", "4")
    assert (unknown.code, "'site-berlim' is no site of this project" in unknown.err) == (1, True)


async def test_a_pool_is_shown_part_by_part(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    await lay_down(today_master.wire, Rule(name="keep", site="site-berlin", reserve={"port": 4}))
    rome, berlin = await opened(today_master.wire, "rome"), await opened(today_master.wire, "berlin")
    granted(await rome.acquire(*seats("port", 5)))
    granted(await berlin.acquire(*seats("port", 1)))
    shown = await today("pool", "show", "PBX-Port")
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[1] == "[" + "R" * 6 + "F" * 30 + "r" * 18 + "." * 6 + "]"
    rows = [line.split() for line in lines]
    assert ["r", "Reserved", "idle", "3"] in rows
    assert ["site-berlin", "1", "1", "1", "4"] in rows
    answer = json.loads((await today("pool", "show", "port", "--json")).out)
    assert (answer["pool"]["reserved_used"], answer["pool"]["free"]) == (1, 1)
    assert [share["site"] for share in answer["shares"]] == ["site-berlin", "site-rome"]
    assert "Reserved idle" in " ".join((await today("pools")).out.split()).replace("idle Reserved", "Reserved idle")
    missing = await today("pool", "show", "fax")
    assert (missing.code, "no licenses of 'fax' are installed" in missing.err) == (1, True)


async def test_what_is_overdrawn_is_a_number_of_its_own(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 3}, pbxs=SITES))
    assert (await today("allocation", "overdraft", "port", "2", "--budget", "8", "--refill", "4")).code == 0
    rome = await opened(today_master.wire, "rome")
    granted(await rome.acquire(*seats("port", 3)))
    shown = (await today("pool", "show", "port")).out
    assert "none is overdrawn, up to 2 may be: 8.0 seat hours are left" in shown
    assert "Overdrawn" not in (await today("pools")).out
    granted(await rome.acquire(*seats("port", 5)[3:]))
    shown = (await today("pool", "show", "port")).out
    assert "2 of these are overdrawn, up to 2 may be: 8.0 seat hours are left, spent 20" in shown
    for screen in ((await today("pools")).out, (await today("status")).out):
        rows = [line.split() for line in screen.splitlines()]
        assert any(row[-3:] == ["Of", "Overdrawn", "Peak"] for row in rows)
        assert any(row[:1] == ["PBX-Port"] and row[-5:] == ["5", "0", "3", "2", "5"] for row in rows), screen
    assert (await today("allocation", "overdraft", "port", "0")).code == 0
    shown = (await today("pool", "show", "port")).out
    assert "2 of these are overdrawn, up to 0 may be: 0.0 seat hours are left" in shown


def test_single_changes_go_to_the_rule_of_just_that_scope() -> None:
    allocation = allocation_pb2.Allocation(rules=[Rule(name="berlin", group="south", weight={"port": 2})])
    assert give(allocation, Scope(whom="berlin"), "reserve", "port", 4) == "berlin-2"
    assert give(allocation, Scope(whom="berlin"), "maximum", "port", 9) == "berlin-2"
    assert give(allocation, Scope(whom="group:south"), "weight", "port", 3) == "berlin"
    assert [(rule.name, dict(rule.reserve), dict(rule.maximum), dict(rule.weight)) for rule in allocation.rules] == [
        ("berlin", {}, {}, {"port": 3}),
        ("berlin-2", {"port": 4}, {"port": 9}, {}),
    ]
    take_back(allocation, "berlin")
    with pytest.raises(CommandFailed, match="there is no rule 'berlin'; did you mean 'berlin-2'"):
        take_back(allocation, "berlin")


async def test_policies_go_by_single_commands_too(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    for command in (
        ("queue", "PBX-Port", "500", "--express", "2", "--patience", "900", "--reason", "the fair", "--yes"),
        ("queue", "port", "300"),
        ("overdraft", "PBX Port", "10", "--budget", "80", "--refill", "16"),
        ("overdraft", "port", "5"),
        ("loans", "PBX-Port", "30"),
        ("first-claim", "port", "900"),
        ("blocks", "PBX Port", "4", "--yes"),
        ("emergencies", "site-rome"),
        ("reserve", "site-rome", "PBX-Port", "2", "--reason", "the clinic"),
        ("reserve", "site-rome", "port", "3"),
    ):
        done = await today("allocation", *command)
        assert (done.code, "applied: 1 change" in done.out) == (0, True), (command, done.err)
    shown = " ".join((await today("allocation", "show")).out.split())
    assert "queue = { length_max = 300, express_seats_max = 2, patience_seconds = 900 }" in shown
    assert "overdraft = { seats = 5, budget_seat_hours = 80, refill_seat_hours_per_day = 16 }" in shown
    assert "loan_days_max = 30" in shown
    assert "first_claim_seconds = 900" in shown
    assert "block_seats_max = 4" in shown
    assert "reserve = { port = 3 }" in shown
    assert "serves_emergencies = true" in shown
    told = (await today("events", "--kind", "allocation.applied")).out
    assert "the fair" in told
    assert "the clinic" in told
    without_budget = await today("allocation", "overdraft", "fax", "1")
    assert (without_budget.code, "overdraft.budget_seat_hours: 0 must be" in without_budget.err) == (1, True)
    for too_much in (("loans", "port", "367"), ("first-claim", "port", "86401"), ("blocks", "port", "1001")):
        refused = await today("allocation", *too_much)
        assert (refused.code, "is not in the range" in refused.err) == (2, True), refused.err
    for taken_back in ("queue", "overdraft", "loans", "first-claim", "blocks"):
        assert (await today("allocation", taken_back, "port", "0")).code == 0
    assert (await today("allocation", "emergencies", "site-rome", "--no-longer")).code == 0
    left = (await today("allocation", "show")).out
    assert not any(word in left for word in ("types", "serves_emergencies")), "a policy that says nothing goes"
    assert "reserve" in left


async def test_a_change_asks_a_person_first_and_is_one_call_where_nobody_is_asked(
    today: Cli, today_master: InProcess
) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    assert (await today("allocation", "loans", "port", "30", "--yes")).code == 0
    assert (await today("allocation", "loans", "port", "30")).out == "nothing to change\n"
    shown = (await today("allocation", "show")).out
    assert _applies(today_master) == 2
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, b"n\n")
        answered_no = await today("allocation", "loans", "port", "0", stdin=terminal)
        assert (answered_no.code, "nothing was changed" in answered_no.err) == (1, True)
        assert "loan days max: 30" in answered_no.out, "what would change is shown before the question"
        assert (await today("allocation", "show")).out == shown
        os.write(keyboard, b"y\n")
        answered_yes = await today("allocation", "loans", "port", "0", stdin=terminal)
        assert (answered_yes.code, answered_yes.out.count("loan days max: 30")) == (0, 1), answered_yes.err
        unchanged = await today("allocation", "loans", "port", "0", stdin=terminal)
        assert unchanged.out == "nothing to change\n"
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert (await today("allocation", "show")).out.startswith("# No rules")


def _applies(master: InProcess) -> float | None:
    labels = {"grpc_service": "licensemaster.v1.AllocationService", "grpc_method": "ApplyAllocation", "grpc_code": "OK"}
    return master.running.metrics.registry.get_sample_value("grpc_server_handled_total", labels)


async def test_a_dry_run_of_a_single_change_tells_it_alone(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}, pbxs=SITES))
    dry = await today("allocation", "queue", "port", "5", "--dry-run")
    assert (dry.code, "queue: (length max: 5" in dry.out) == (0, True), dry.out
    assert (await today("allocation", "show")).out.startswith("# No rules")


def test_a_rule_that_says_nothing_any_more_goes() -> None:
    allocation = allocation_pb2.Allocation(rules=[Rule(name="vital", site="rome", serves_emergencies=True)])
    serve_emergencies(allocation, Scope(whom="rome"), serves=False)
    assert not allocation.rules
    serve_emergencies(allocation, Scope(whom="group:clinics"), serves=True)
    assert [(rule.name, rule.group) for rule in allocation.rules] == [("clinics", "clinics")]
