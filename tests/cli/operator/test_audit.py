"""`license-master audit` as operators and auditors use it: export, verify anywhere, compare with an older export."""

import hashlib
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.command import MOMENT, run
from tests.cli.conftest import Cli, pointed_at
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project

EVENTS = 7
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "audit.md"


@pytest.fixture
async def cli(master: InProcess) -> Cli:
    """The command, pointed at a master with something to tell."""
    await master.wire.apply(project({"PBX-Port12": 5}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 3)))
    for _ in range(2):
        await berlin.give_back(*seats("port", 3))
        granted(await berlin.acquire(*seats("port", 3)))
    return pointed_at(master)


@pytest.fixture
async def exported(cli: Cli, tmp_path: Path) -> Path:
    path = tmp_path / "acme.jsonl"
    before = os.umask(0)
    try:
        done = await cli("audit", "export", "--out", str(path))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (done.code, done.out) == (0, "")
    return path


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def key_of(path: Path) -> str:
    return str(json.loads(text_of(path).splitlines()[-1])["public_key"])


def tamper(sqlite_database_url: str, *statements: str) -> None:
    connection = sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"))
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


async def test_an_export_is_verified_without_a_master(exported: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in text_of(exported).splitlines()]
    assert [line["record"] for line in lines] == ["header", *["event"] * EVENTS, "checkpoint"]
    assert [line["kind"] for line in lines[1:4]] == ["project.applied", "lease.opened", "seats.acquired"]
    assert os.listdir(tmp_path).count("acme.jsonl.part") == 0
    done = await run("audit", "verify", str(exported), LICENSE_MASTER_SERVER="127.0.0.1:1")
    assert (done.code, done.err) == (0, "")
    assert "7 events of project acme, as they were on " in done.out
    assert "all that there were" in done.out
    assert f"signed with the key {key_of(exported)}, which only the file itself names" in done.out


async def test_an_export_goes_to_standard_output(cli: Cli, exported: Path) -> None:
    done = await cli("audit", "export")
    assert done.code == 0
    assert done.out.splitlines()[:-1] == text_of(exported).splitlines()[:-1]
    assert f"acme: up to event 7, signed with the key {key_of(exported)}" in done.err


async def test_the_key_that_is_trusted(exported: Path, tmp_path: Path) -> None:
    known = key_of(exported)
    in_hex, raw = tmp_path / "key.txt", tmp_path / "key"
    in_hex.write_text(known + "\n")
    raw.write_bytes(bytes.fromhex(known))
    for key in (known, str(in_hex), str(raw)):
        done = await run("audit", "verify", str(exported), "--key", key)
        assert (done.code, done.err) == (0, "")
        assert "the one trusted" in done.out
    done = await run("audit", "verify", str(exported), "--key", "ab" * 32)
    assert done.code == 1
    assert f"{exported}:9: the checkpoint is signed with the key {known}" in done.err
    assert "found: untrusted key" in done.err


@pytest.mark.parametrize("key", ["nonsense", "xy" * 32, "/", "{short}"])
async def test_a_key_that_is_none(exported: Path, tmp_path: Path, key: str) -> None:
    short = tmp_path / "short"
    short.write_text("abcd")
    done = await run("audit", "verify", str(exported), "--key", key.format(short=short))
    assert done.code == 2
    assert "--key" in done.err
    assert "Traceback" not in done.err


async def test_an_export_that_was_changed(exported: Path) -> None:
    lines = text_of(exported).splitlines(keepends=True)
    write(exported, "".join([*lines[:3], lines[3].replace("phone-1", "phone-9"), *lines[4:]]))
    done = await run("audit", "verify", str(exported))
    assert done.code == 1
    assert f"error: {exported}:4: event 3 does not follow on what comes before it" in done.err
    assert "found: altered" in done.err
    assert "2 events before it are right" in done.err
    assert "try: docs/audit.md" in done.err
    write(exported, "".join(lines[:-1]))
    assert "found: cut off" in (await run("audit", "verify", str(exported))).err
    write(exported, "\0ÿ" * 1000)
    assert "found: malformed" in (await run("audit", "verify", str(exported))).err
    done = await run("audit", "verify", str(exported.parent))
    assert (done.code, "cannot be read" in done.err) == (1, True)


async def test_a_part(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    assert (await cli("audit", "export", "--since-seq", "5", "--out", str(path))).code == 0
    done = await run("audit", "verify", str(path))
    assert done.code == 0
    assert "3 events of project acme" in done.out
    assert "a part, from event 5 on" in done.out
    assert (await cli("audit", "export", "--since-seq", "8")).code == 0
    behind = await cli("audit", "export", "--since-seq", "9", "--out", str(tmp_path / "none.jsonl"))
    assert behind.code == 1
    assert "since_seq: 9 is behind the end: the last event is 7" in behind.err
    assert not (tmp_path / "none.jsonl").exists()


async def test_an_export_replaces_no_file(cli: Cli, exported: Path, tmp_path: Path) -> None:
    before = text_of(exported)
    done = await cli("audit", "export", "--out", str(exported))
    assert done.code == 1
    assert "exists, and an export may be evidence" in done.err
    assert text_of(exported) == before
    done = await cli("audit", "export", "--out", str(tmp_path / "no" / "where.jsonl"))
    assert (done.code, "cannot be written" in done.err) == (1, True)


async def test_another_project(cli: Cli, exported: Path) -> None:
    done = await cli("audit", "verify", str(exported), "--project", "other")
    assert done.code == 1
    assert "the export is of project acme, not of other" in done.err
    assert (await cli("audit", "verify", "--project", "other")).code == 1
    assert (await cli("audit", "export", "--project", "other")).code == 1


async def test_a_running_master_verifies_its_chain(cli: Cli, sqlite_database_url: str) -> None:
    done = await cli("audit", "verify")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("7 events, all as they were written; the last one's hash is ")
    shown = json.loads((await cli("audit", "verify", "--json")).out)
    assert (shown["events"], shown["seq"], len(shown["hash"])) == (7, 7, 64)
    assert (await run("db", "check", "--database-url", sqlite_database_url)).out == (
        "schema, counters and audit are right\n"
    )

    tamper(sqlite_database_url, "DELETE FROM event WHERE seq = 4")
    done = await cli("audit", "verify")
    assert done.code == 1
    assert "the audit of project acme is not what was written: event 4 is missing" in done.err
    assert "found: removed, at event 4" in done.err
    checked = await run("db", "check", "--database-url", sqlite_database_url)
    assert checked.code == 1
    assert "project acme: event 4 is missing" in checked.err


async def test_a_chain_still_contains_what_was_exported(cli: Cli, exported: Path, master: InProcess) -> None:
    done = await cli("audit", "verify", "--against", str(exported))
    assert (done.code, done.err) == (0, "")
    assert "up to event 7 is the one exported on " in done.out
    assert "; 0 more since" in done.out
    await opened(master.wire, "hq")
    done = await cli("audit", "verify", "--against", str(exported), "--key", key_of(exported))
    assert done.code == 0
    assert "; 1 more since" in done.out
    assert json.loads((await cli("audit", "verify", "--against", str(exported), "--json")).out)["seq"] == 8


async def test_programs_read_one_spelling_of_moments_names_and_hashes(cli: Cli, exported: Path) -> None:
    verified = json.loads((await cli("audit", "verify", str(exported), "--json")).out)
    [newest] = json.loads((await cli("events", "--json", "--limit", "1")).out)["events"]
    leases = json.loads((await cli("status", "--json")).out)
    assert (verified["project"], verified["hash"]) == (leases["project"], newest["hash"])
    assert datetime.fromisoformat(verified["time"]) >= datetime.fromisoformat(newest["time"])
    assert MOMENT.fullmatch(verified["time"])
    assert MOMENT.fullmatch(newest["time"])


async def test_a_history_that_was_rewritten(cli: Cli, exported: Path, sqlite_database_url: str) -> None:
    """By somebody who knows how the chain is made: it verifies by itself, but not against the older export."""
    rewrite(sqlite_database_url, keep=lambda kind, number: True)
    assert (await cli("audit", "verify")).code == 0
    done = await cli("audit", "verify", "--against", str(exported))
    assert done.code == 1
    assert "event 7 is no longer the one that was exported: the history was rewritten" in done.err
    rewrite(sqlite_database_url, keep=lambda kind, number: kind != "seats.returned")
    assert (await cli("audit", "verify")).code == 0
    done = await cli("audit", "verify", "--against", str(exported))
    assert done.code == 1
    assert "the chain ends with event 5, but was exported up to event 7" in done.err


def rewrite(sqlite_database_url: str, *, keep: Callable[[str, int], bool]) -> None:
    """Make a chain anew, under another name, as docs/audit.md describes it."""
    connection = sqlite3.connect(sqlite_database_url.removeprefix("sqlite:///"))

    def netstrings(*fields: object) -> bytes:
        raw = [field if isinstance(field, bytes) else str(field).encode() for field in fields]
        return b"".join(b"%d:%s," % (len(each), each) for each in raw)

    end, seq = hashlib.sha256(netstrings("license-master audit genesis v1", "acme")).digest(), 0
    kept = [row for row in connection.execute("SELECT * FROM event ORDER BY seq") if keep(row[3], row[1])]
    with connection:
        connection.execute("DELETE FROM event")
        for project_id, _, time_us, kind, pbx, _, request_id, reason, details, _ in kept:
            seq += 1
            fields = (seq, time_us, kind, pbx, "nobody", request_id or "", reason, details)
            end = hashlib.sha256(netstrings("license-master audit event v1", end, "acme", *fields)).digest()
            row = (project_id, seq, time_us, kind, pbx, "nobody", request_id, reason, details, end)
            connection.execute("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?)", row)
        connection.execute("UPDATE audit_head SET seq = ?, hash = ?", (seq, end))
    connection.close()


async def test_options_that_exclude_each_other(exported: Path) -> None:
    for arguments in ([str(exported), "--against", str(exported)], ["--key", "ab" * 32]):
        done = await run("audit", "verify", *arguments)
        assert done.code == 2
        assert "Traceback" not in done.err


async def test_the_documented_verifier_agrees(exported: Path, tmp_path: Path) -> None:
    """docs/audit.md carries a verifier of its own for strangers; it is run as it stands there."""
    (script,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = tmp_path / "verify.py"
    path.write_text(script)

    def verdict() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, path, exported], capture_output=True, text=True, check=False)

    done = verdict()
    assert (done.returncode, done.stderr) == (0, "")
    assert "7 events of acme" in done.stdout
    assert key_of(exported) in done.stdout
    write(exported, text_of(exported).replace("phone-1", "phone-9", 1))
    assert verdict().returncode != 0


async def test_a_reason_is_kept(cli: Cli, tmp_path: Path, master: InProcess) -> None:
    assert "Reason" not in (await cli("events")).out
    path = tmp_path / "acme.toml"
    path.write_text((await cli("project", "show")).out.replace("quantity = 5", "quantity = 9"))
    done = await cli("project", "apply", str(path), "--yes", "--reason", "order 4711, Ms Müller")
    assert (done.code, done.err) == (0, "")
    listed = await cli("events")
    assert "Reason" in listed.out
    assert "order 4711, Ms Müller" in listed.out
    newest = json.loads((await cli("events", "--json", "--limit", "1")).out)["events"][0]
    assert (newest["reason"], newest["seq"]) == ("order 4711, Ms Müller", EVENTS + 1)
    refused = await cli("project", "apply", str(path), "--yes", "--reason", "x" * 501)
    assert refused.code == 1
    assert "reason: " in refused.err
    assert "at most 500 printable characters" in refused.err
