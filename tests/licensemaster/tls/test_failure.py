"""Why no connection comes about is told as what it is, by the slave client and by commands alike."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from licensemaster.tls.failure import Side, tls_failure
from licensemaster.tls.pem import Pair
from slave_client import HolderKind, Notice, NoticeKind, Refused, SlaveClient, TlsFiles, Want
from tests.cli.command import run
from tests.slave_client.conftest import client_config
from tests.support.limits import HANG_SECONDS
from tests.support.network.bare_servers import bare_server
from tests.support.projects.certificates import Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What a master shows, and what a caller shows and believes; None for plain text."""

    master: Made | None
    caller: Made | None
    believed: Made
    host: str = "localhost"


_LONG_AGO, _IN_A_YEAR = (-730.0, -365.0), (365.0, 730.0)
CASES: dict[str, tuple[Callable[[Made], Meeting], str]] = {
    "another authority": (
        lambda ca: Meeting(master=Made.by(ca), caller=Made.by(ca), believed=Made.authority(name="another")),
        r"the master's certificate is signed by 'CN=authority', and \S+ has 'CN=another'",
    ),
    "another name": (
        lambda ca: Meeting(master=Made.by(ca, hosts=("hq.example",)), caller=Made.by(ca), believed=ca),
        "the master's certificate is for hq.example, and it was called localhost",
    ),
    "an ended one": (
        lambda ca: Meeting(master=Made.by(ca, days=_LONG_AGO), caller=Made.by(ca), believed=ca),
        r"the master's certificate ended \S+ \S+ UTC, and here it is",
    ),
    "a clock a year behind": (
        lambda ca: Meeting(master=Made.by(ca, days=_IN_A_YEAR), caller=Made.by(ca), believed=ca),
        r"the master's certificate begins \S+ \S+ UTC, and here it is",
    ),
    "a certificate that the master does not know": (
        lambda ca: Meeting(master=Made.by(ca), caller=Made.by(name="a stranger"), believed=ca),
        "the master ended the connection when it saw the certificate .'CN=a stranger'",
    ),
    "TLS to plain text": (
        lambda ca: Meeting(master=None, caller=Made.by(ca), believed=ca),
        "what listens there answers in plain text, and a certificate was shown",
    ),
    "plain text to TLS": (
        lambda ca: Meeting(master=Made.by(ca), caller=None, believed=ca),
        "what listens there speaks TLS; no certificate was shown, and it asks for one",
    ),
}


def _files(folder: Path, meeting: Meeting) -> TlsFiles | None:
    if meeting.caller is None:
        return None
    tls = TlsFiles(ca=folder / "ca.crt", certificate=folder / "own.crt", key=folder / "own.key")
    tls.ca.write_bytes(meeting.believed.pem)
    tls.certificate.write_bytes(meeting.caller.pem)
    tls.key.write_bytes(meeting.caller.key)
    return tls


@pytest.mark.parametrize("case", CASES)
async def test_the_client_tells_the_cause(tmp_path: Path, case: str) -> None:
    make, says = CASES[case]
    ca = Made.authority()
    meeting = make(ca)
    notices: asyncio.Queue[Notice] = asyncio.Queue()
    async with bare_server(meeting.master, believes=ca) as port:
        config = client_config(f"{meeting.host}:{port}", tls=_files(tmp_path, meeting), give_up_after_seconds=5)
        async with SlaveClient(config, on_notice=notices.put_nowait) as client, asyncio.timeout(HANG_SECONDS):
            notice = await notices.get()
            assert notice.kind is NoticeKind.NO_TLS
            _assert_says(says, notice.message)
            assert f"{meeting.host}:{port}: " in notice.message
            refused = await client.acquire(Want("port", HolderKind.USER, "anna"))
            assert isinstance(refused, Refused)
            _assert_says(says, refused.message)
            _assert_says(says, client.report().why)


@pytest.mark.parametrize("case", CASES)
async def test_a_command_tells_the_cause(tmp_path: Path, case: str) -> None:
    make, says = CASES[case]
    ca = Made.authority()
    meeting = make(ca)
    options: list[str] = []
    if (tls := _files(tmp_path, meeting)) is not None:
        options = ["--tls-ca", str(tls.ca), "--tls-certificate", str(tls.certificate), "--tls-key", str(tls.key)]
    async with bare_server(meeting.master, believes=ca) as port:
        done = await run(*options, "project", "list", LICENSE_MASTER_SERVER=f"{meeting.host}:{port}")
    assert done.code == 1
    _assert_says(says, done.err)
    assert "no master answers" not in done.err
    assert "license-master serve" not in done.err


@pytest.mark.parametrize("is_secured", [True, False])
async def test_who_only_hangs_up_is_not_said_to_speak_plain_text(is_secured: bool) -> None:
    """As a balancer does whose masters are away."""
    ca = Made.authority()
    made = Made.by(ca)
    pair = Pair(made.pem, made.key, ca.pem, [made.certificate], [ca.certificate]) if is_secured else None

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        side = Side(pair=pair, is_secured=is_secured)
        said = "failed to connect to all addresses; last error: UNAVAILABLE: Socket closed"
        assert await asyncio.to_thread(tls_failure, said, address=address, side=side) is None


def _assert_says(says: str, text: str) -> None:
    assert re.search(says, " ".join(text.split())), text
