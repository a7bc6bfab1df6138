"""The client's README is run as it stands: the wheel is built and installed, and the program leases from a master."""

from __future__ import annotations

import asyncio
import inspect
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import slave_client
from licensemaster.v1 import seat_pb2
from slave_client import BlockingSlaveClient, Reason, SlaveClient
from tests.slave_client.conftest import RestartableMaster

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "slave_client" / "README.md").read_text(encoding="utf-8")


def _block(language: str, *, below: str) -> str:
    section = _README.partition(f"## {below}\n")[2]
    match = re.search(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert match is not None
    return match[1]


def test_reasons_that_no_master_gives_are_told() -> None:
    of_masters = {name.removeprefix("REFUSAL_REASON_") for name in seat_pb2.RefusalReason.keys()}  # noqa: SIM118
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", _README.partition("## Errors\n")[2].partition("\n## ")[0], re.MULTILINE)
    assert set(re.findall(r"\w+", "".join(rows))) == Reason.__members__.keys() - of_masters


async def test_the_program_runs(master: RestartableMaster, tmp_path: Path) -> None:
    program = _block("python", below="A whole program")
    program = re.sub(r'addresses=\(".*"\)', f'addresses=("{master.address}",)', program)
    program = program.replace("/var/lib/pbx/license", str(tmp_path / "state"))
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert running.stdout is not None
    collected = []
    async for line in running.stdout:
        collected.append(line.decode())
        if "Report(" in collected[-1]:
            running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0, await running.stderr.read() if running.stderr else ""
    assert "STARTING -> CONNECTED" in collected[0]
    assert "4712 may register, by the MASTER\n" in collected
    assert await master.holders("berlin") == {"4711"}, "it stopped; it did not close"


def test_all_that_there_is_is_listed() -> None:
    table = _README.partition("## All there is\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)(?:\(.*?\))?`", table))
    for kind in (SlaveClient, BlockingSlaveClient):
        offered = {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}
        assert offered - named - {"crash"} == set()
    of_one_alone = re.findall(r"^\| (.+?) \| .*\(asynchronous client\)", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)", "".join(of_one_alone))) == {
        name for name in dir(SlaveClient) if name in named and not hasattr(BlockingSlaveClient, name)
    }
    for name in re.findall(r"`([A-Z]\w+Error)`", _README):
        assert hasattr(slave_client, name) or name in ("TimeoutError", "ValueError")


def test_the_wheel_is_built_and_imported(tmp_path: Path) -> None:
    """Into a folder of its own; what it depends on is there already, and so are the tools that build it."""
    commands = _block("", below="Getting it").replace("python3", sys.executable)
    build, install = commands.splitlines()
    shutil.copytree(_ROOT / "slave_client", tmp_path / "slave_client")
    for shared in ("proto", "licensemaster"):
        shutil.copytree(_ROOT / shared, tmp_path / shared)
    offline = " --no-build-isolation --disable-pip-version-check --quiet"
    for command in (build + offline, f"{install} --no-deps --target installed"):
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    code = "import slave_client; print(slave_client.__file__)"
    actual = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {['installed', *sys.path]!r}; {code}"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert str(tmp_path / "installed") in actual.stdout or actual.stdout.startswith("installed")
