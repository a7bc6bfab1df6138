"""A client with its device's folder certifies releases by itself; nothing that is not genuine is signed (rule L2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, license_pb2
from slave_client import (
    BlockingSlaveClient,
    ConfigError,
    DeviceKey,
    HolderKind,
    Lost,
    Notice,
    NoticeKind,
    SlaveClient,
    State,
    Want,
)
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster
from tests.slave_client.operating import Operator, operator_of
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to
from tests.support.network.relay import Relay
from tests.support.projects.signed_documents import NAME, enrolled
from tests.support.waiting import until

MORE = 2
PHONES = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(PORTS + MORE)]


@pytest.fixture
async def operator(master: RestartableMaster, tmp_path: Path) -> Operator:
    """The folder of the license master's device is tmp_path / "hq-box"."""
    return await operator_of(master.address, tmp_path, now=master.clock(), ports=MORE)


class Noticed:
    """The notices that a client hears."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Notice] = asyncio.Queue()
        self.hear: Callable[[Notice], None] = self._queue.put_nowait

    async def of(self, kind: NoticeKind) -> Notice:
        async with asyncio.timeout(HANG_SECONDS):
            while (notice := await self._queue.get()).kind is not kind:
                pass
        return notice


def has(client: SlaveClient, kind: NoticeKind) -> bool:
    return kind in {notice.kind for notice in client.notices}


@pytest.mark.rule("L2", "L5")
async def test_from_the_operators_word_to_a_free_license_nobody_lifts_a_hand(
    master: RestartableMaster, operator: Operator, tmp_path: Path
) -> None:
    lost: list[Want] = []
    berlin = SlaveClient(
        master.config(), on_seat=lambda want, change: lost.append(want) if isinstance(change, Lost) else None
    )
    hq = SlaveClient(master.config("hq", device_dir=tmp_path / "hq-box"))
    async with berlin, hq:
        await berlin.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert all(outcome.granted for outcome in await berlin.acquire_many(PHONES))
        await hq.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await operator.revoke()
        await until(operator.is_free)
        assert len(lost) == MORE
        assert len(berlin.held) == PORTS
        assert await operator.holders() == {held.want.holder for held in berlin.held}
        assert DeviceKey.load(tmp_path / "hq-box").licenses == ()

        await until(lambda: not hq.notices)


async def test_the_blocking_face_certifies_too(master: RestartableMaster, operator: Operator, tmp_path: Path) -> None:
    def use() -> BlockingSlaveClient:
        client = BlockingSlaveClient(master.config("hq", device_dir=tmp_path / "hq-box"))
        client.start()
        client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        return client

    client = await asyncio.to_thread(use)
    await operator.revoke()
    await until(operator.is_free)
    await asyncio.to_thread(client.close)


async def test_a_request_is_certified_once_while_it_stands(
    master: RestartableMaster, operator: Operator, relay: Relay, tmp_path: Path
) -> None:
    berlin = SlaveClient(master.config(), clock=HeldClock(master.clock))
    hq = SlaveClient(master.config("hq", addresses=(relay.address,), device_dir=tmp_path / "hq-box"))
    async with hq, berlin:
        await berlin.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert all(outcome.granted for outcome in await berlin.acquire_many(PHONES))
        await berlin.crash()  # so that the release waits although it is certified
        relay.hold_answers("SubmitCertificate")
        await operator.revoke()

        async def is_certified() -> bool:
            return (await operator.license()).release.certified

        await until(is_certified)
        for _ in range(3):  # with the answer still on its way
            await _renewed(hq, relay)
        relay.let_through("SubmitCertificate")
        for _ in range(3):
            await _renewed(hq, relay)
        assert relay.answered["SubmitCertificate"] == 1


@pytest.mark.parametrize("trouble", ["break_off", "lose_answer"])
async def test_what_failed_is_tried_again_when_the_master_repeats_it(
    master: RestartableMaster, operator: Operator, relay: Relay, tmp_path: Path, trouble: str
) -> None:
    getattr(relay, trouble)("SubmitCertificate")
    hq = SlaveClient(master.config("hq", addresses=(relay.address,), device_dir=tmp_path / "hq-box"))
    async with hq:
        await hq.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await operator.revoke()

        async def is_free() -> bool:
            hq.look_again()
            return await operator.is_free()

        await until(is_free)
        assert not has(hq, NoticeKind.CERTIFICATE_NOT_GIVEN)


async def test_a_request_from_before_the_start_is_found(
    master: RestartableMaster, operator: Operator, tmp_path: Path
) -> None:
    await operator.revoke()
    async with SlaveClient(master.config("hq", device_dir=tmp_path / "hq-box")):
        await until(operator.is_free)


async def test_without_a_folder_the_request_is_shown_and_nothing_done(
    master: RestartableMaster, operator: Operator, relay: Relay
) -> None:
    noticed = Noticed()
    config = master.config("hq", addresses=(relay.address,))
    async with SlaveClient(config, on_notice=noticed.hear) as hq:
        await operator.revoke()
        assert "certify that hq-box no longer uses more" in (await noticed.of(NoticeKind.CERTIFY_RELEASE)).message
        await _renewed(hq, relay)
        assert not relay.answered["SubmitCertificate"]
    assert not (await operator.license()).release.certified


@pytest.mark.rule("L2")
async def test_a_request_for_another_device_is_not_certified(
    master: RestartableMaster, operator: Operator, relay: Relay, tmp_path: Path
) -> None:
    async with wire_to(master.address) as wire:
        await enrolled(wire, tmp_path, "berlin-box")
    await _is_not_certified(
        master, operator, relay, tmp_path / "berlin-box", "hq-box, not projects/acme/devices/berlin"
    )


@pytest.mark.rule("L2")
async def test_a_request_that_the_known_master_did_not_sign_is_not_certified(
    master: RestartableMaster, operator: Operator, relay: Relay, tmp_path: Path
) -> None:
    device, stranger = f"{NAME}/devices/hq-box", Ed25519PrivateKey.generate()
    key = DeviceKey.create(tmp_path / "astray", device=device)
    answer = document_pb2.EnrollmentAnswer(
        device=device, public_key=key.public_key, master_public_key=documents.public_key_of(stranger)
    )
    key.accept_answer(documents.sign(document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER, answer, stranger))
    await _is_not_certified(master, operator, relay, tmp_path / "astray", "forged or altered")


async def test_a_folder_that_is_missing_is_told_with_its_remedy(master: RestartableMaster, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"device_dir: .*nowhere.*create the device's key first"):
        await SlaveClient(master.config("hq", device_dir=tmp_path / "nowhere")).start()


async def _is_not_certified(
    master: RestartableMaster, operator: Operator, relay: Relay, folder: Path, why: str
) -> None:
    before = _content(folder)
    noticed = Noticed()
    config = master.config("hq", addresses=(relay.address,), device_dir=folder)
    async with SlaveClient(config, on_notice=noticed.hear) as hq:
        await operator.revoke()
        assert why in (await noticed.of(NoticeKind.CERTIFICATE_NOT_GIVEN)).message
        assert _content(folder) == before
        assert not relay.answered["SubmitCertificate"]
        assert (await operator.license()).state == license_pb2.LICENSE_STATE_RELEASING
        await operator.cancel()

        await until(lambda: not has(hq, NoticeKind.CERTIFICATE_NOT_GIVEN))


def _content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}


async def _renewed(client: SlaveClient, relay: Relay) -> None:
    """Wait for one more renewal."""
    count = relay.answered["RenewLease"]
    client.look_again()

    await until(lambda: relay.answered["RenewLease"] > count)
