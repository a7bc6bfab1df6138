"""A PBX whose certificate is renewed on disk goes on without a restart; one that lost its files says which."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from licensemaster.files.writer import write_file
from slave_client import ClientConfig, Granted, HolderKind, Notice, NoticeKind, SlaveClient, State, TlsFiles, Want
from tests.auth.pki import CertifiedKey, Pki
from tests.slave_client.conftest import HeldClock, client_config
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, watch_streams
from tests.support.network.lines import FAIR, Line, Weather, line_to
from tests.support.waiting import until

BERLIN = "projects/acme/pbxs/berlin"
DAY = 86_400.0


def put(folder: Path, certified_key: CertifiedKey) -> TlsFiles:
    folder.mkdir(exist_ok=True)
    files = {"ca.crt": certified_key.ca, "pbx.crt": certified_key.certificate, "pbx.key": certified_key.key}
    for name, data in files.items():
        write_file(folder / name, data)
    return TlsFiles(ca=folder / "ca.crt", certificate=folder / "pbx.crt", key=folder / "pbx.key")


async def test_a_renewed_certificate_is_taken_up_when_the_old_one_fails(
    secured: InProcess, pki: Pki, tmp_path: Path
) -> None:
    first = pki.certified_key(BERLIN)
    tls = put(tmp_path / "pbx", first)
    config = ClientConfig(
        addresses=(secured.wire.address,), pbx=BERLIN, software_version="12", tls=tls, backoff_max_seconds=0.2
    )
    client = SlaveClient(config)
    await client.start()
    await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    put(tmp_path / "pbx", pki.certified_key(BERLIN))
    pki.authority.revoke([first.issued], now=time.time())
    assert secured.running.authorizer is not None
    await secured.running.authorizer.run_once()
    client.look_again()
    await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    outcome = await client.acquire(Want("port", HolderKind.USER, "anna"))
    assert isinstance(outcome, Granted), outcome
    await client.close()


async def test_a_pbx_whose_certificate_is_revoked_knows_it_at_once(
    secured: InProcess, pki: Pki, tmp_path: Path
) -> None:
    """The end of its stream tells it, in the middle of the pause between two renewals, which no time ends here."""
    first = pki.certified_key(BERLIN)
    config = client_config(secured.wire.address, tls=put(tmp_path / "pbx", first))
    async with SlaveClient(config, clock=HeldClock(secured.clock)) as client, asyncio.timeout(HANG_SECONDS):
        await client.wait_for_state(State.CONNECTED)
        await until(lambda: watch_streams(secured.running))
        pki.authority.revoke([first.issued], now=time.time())
        assert secured.running.authorizer is not None
        await secured.running.authorizer.run_once()
        await client.wait_for_state(State.OFFLINE)
        assert [notice.kind for notice in client.notices] == [NoticeKind.MASTER_REFUSES]
        put(tmp_path / "pbx", pki.certified_key(BERLIN))
        await client.wait_for_state(State.CONNECTED)
        await until(lambda: watch_streams(secured.running))


def test_files_and_credentials_are_not_both_given(pki: Pki, tmp_path: Path) -> None:
    certified_key = pki.certified_key(BERLIN)
    with pytest.raises(ValueError, match="give one"):
        ClientConfig(
            addresses=("a:1",),
            pbx=BERLIN,
            software_version="12",
            tls=put(tmp_path / "pbx", certified_key),
            credentials=certified_key.credentials,
        )


async def test_a_renewal_that_is_of_no_use_is_told_and_the_old_one_goes_on(
    secured: InProcess, pki: Pki, tmp_path: Path
) -> None:
    tls = put(tmp_path / "pbx", pki.certified_key(BERLIN))
    received: asyncio.Queue[Notice] = asyncio.Queue()
    async with asyncio.timeout(HANG_SECONDS), line_to(secured.wire.address) as line:
        config = ClientConfig(
            addresses=(line.address,), pbx=BERLIN, software_version="12", tls=tls, backoff_max_seconds=0.2
        )
        async with SlaveClient(config, on_notice=received.put_nowait) as client:
            await client.wait_for_state(State.CONNECTED)
            put(tmp_path / "pbx", pki.foreign(key="P-521"))
            await _broken(line, client)
            notice = await received.get()
            assert (notice.kind, "its key is secp521r1" in notice.message) == (NoticeKind.CERTIFICATE_UNUSABLE, True)
            assert (await client.acquire(Want("port", HolderKind.USER, "anna"))).granted
            put(tmp_path / "pbx", pki.certified_key(BERLIN))
            await _broken(line, client)
            assert not client.notices


async def _broken(line: Line, client: SlaveClient) -> None:
    """Break all connections, and wait until the client is back."""
    line.weather = Weather(is_cut=True)
    await client.wait_for_state(State.OFFLINE)
    line.weather = FAIR
    client.look_again()
    await client.wait_for_state(State.CONNECTED)


async def test_a_certificate_out_of_its_time_is_told_until_the_clock_is_right(
    secured: InProcess, pki: Pki, tmp_path: Path
) -> None:
    """By a clock that is wrong, and set, while calls go on: with the next renewal it is known."""
    wall = Clock(secured.clock() - 20 * DAY)
    config = client_config(secured.wire.address, tls=put(tmp_path / "pbx", pki.certified_key(BERLIN)))
    async with SlaveClient(config, clock=HeldClock(wall)) as client, asyncio.timeout(HANG_SECONDS):

        async def says(*problems: str) -> None:
            client.look_again()
            await until(lambda: _problems(client, problems))

        await client.wait_for_state(State.CONNECTED)
        await says("begins")
        wall.advance(20 * DAY)
        await says()
        wall.advance(3650 * DAY)
        await says("ended")
        wall.advance(-3650 * DAY)
        await says()


async def test_a_renewal_that_cannot_be_used_is_told_while_the_former_certificate_is_good(
    secured: InProcess, pki: Pki, tmp_path: Path
) -> None:
    first = pki.certified_key(BERLIN)
    config = client_config(secured.wire.address, tls=put(tmp_path / "pbx", first))
    async with SlaveClient(config, clock=HeldClock(secured.clock)) as client, asyncio.timeout(HANG_SECONDS):
        await client.wait_for_state(State.CONNECTED)
        write_file(tmp_path / "pbx" / "pbx.key", pki.certified_key(BERLIN).key)
        client.look_again()
        await until(lambda: _problems(client, ("the former ones stay",)))
        assert client.state is State.CONNECTED
        write_file(tmp_path / "pbx" / "pbx.key", first.key)
        client.look_again()
        await until(lambda: _problems(client, ()))


def _problems(client: SlaveClient, wanted: tuple[str, ...]) -> bool:
    """Whether the client tells of its certificate what is wanted, and nothing else."""
    told = [notice.message for notice in client.notices if notice.kind is NoticeKind.CERTIFICATE_UNUSABLE]
    return len(told) == len(wanted) and all(word in said for word, said in zip(wanted, told, strict=True))
