"""An agent and a master with certificates: what does not fit is said where somebody looks, and loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from license_agent.daemon import running
from license_agent.settings import AgentSettings
from licensemaster.v1 import status_pb2
from slave_client import State
from tests.auth.conftest import pki, secured
from tests.auth.pki import CertifiedKey, Pki
from tests.license_agent.conftest import agent_settings, port, running_agent
from tests.support.limits import HANG_SECONDS
from tests.support.masters import InProcess
from tests.support.waiting import until

__all__ = ["pki", "secured"]
BERLIN = "projects/acme/pbxs/berlin"
DAY = 86_400.0


def put(folder: Path, key: CertifiedKey) -> None:
    for name, content in (("ca.crt", key.ca), ("pbx.crt", key.certificate), ("pbx.key", key.key)):
        (folder / name).write_bytes(content)


def certified(address: str, folder: Path, **changes: object) -> AgentSettings:
    return agent_settings(
        address,
        folder,
        plaintext=False,
        tls_certificate_file=folder / "pbx.crt",
        tls_key_file=folder / "pbx.key",
        tls_ca_file=folder / "ca.crt",
        **changes,
    )


def _expired(ours: Pki, _: Pki) -> CertifiedKey:
    return ours.certified_key(BERLIN, days=1, now=time.time() - 2 * DAY)


def _of_another_authority(ours: Pki, theirs: Pki) -> CertifiedKey:
    return theirs.certified_key(BERLIN, ca=ours.ca)


def _believes_another_authority(ours: Pki, theirs: Pki) -> CertifiedKey:
    return ours.certified_key(BERLIN, ca=theirs.ca)


def _of_another_pbx(ours: Pki, _: Pki) -> CertifiedKey:
    return ours.certified_key("projects/acme/pbxs/paris")


def _revoked(ours: Pki, _: Pki) -> CertifiedKey:
    key = ours.certified_key(BERLIN)
    ours.authority.revoke([key.issued], now=time.time())
    return key


@pytest.mark.parametrize(
    ("shown", "kind", "says"),
    [
        (_expired, "certificate_unusable", "tls_certificate_file: "),
        (_expired, "no_tls", "ended the connection when it saw the certificate ('CN=berlin'"),
        (_of_another_authority, "no_tls", "show one of an authority that the master has"),
        (_believes_another_authority, "no_tls", "the master's certificate is signed by 'CN=test'"),
        (_of_another_pbx, "master_refuses", "projects/acme/pbxs/paris acts for itself only"),
        (_revoked, "master_refuses", "revoked"),
    ],
)
async def test_a_certificate_that_does_not_fit(
    secured: InProcess, pki: Pki, tmp_path: Path, shown: Callable[[Pki, Pki], CertifiedKey], kind: str, says: str
) -> None:
    """The PBX is told with its answer, a person in /v1/lease and in the log; with the right files it then works."""
    put(tmp_path, shown(pki, Pki(tmp_path / "theirs")))
    assert secured.running.authorizer is not None
    await secured.running.authorizer.run_once()
    with capture_logs() as logged:
        async with running_agent(certified(secured.wire.address, tmp_path)) as pbx:
            refused = await pbx.ask("PUT", port("4711"))
            assert (refused.status, refused.reason, "Retry-After" in refused.headers) == (503, "no_lease", True)
            await until(
                lambda: any(kind == told.kind.value and says in told.message for told in pbx.agent.client.notices)
            )
            lease = (await pbx.ask("GET", "/v1/lease")).body
            assert [says in notice["message"] for notice in lease["notices"] if notice["kind"] == kind] == [True], lease
            put(tmp_path, pki.certified_key(BERLIN))
            await pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert await pbx.register("4711") == [200]
    assert [says in line["message"] for line in logged if line.get("kind") == kind] == [True], logged


async def test_files_that_cannot_be_used_end_the_start(secured: InProcess, pki: Pki, tmp_path: Path) -> None:
    settings = certified(secured.wire.address, tmp_path)

    async def fails(says: str) -> None:
        with pytest.raises(ValueError, match=says):
            async with running(settings):
                pass
        assert not settings.socket.exists()

    await fails("tls_certificate_file: .*pbx.crt: .*No such file")
    put(tmp_path, pki.certified_key(BERLIN))
    (tmp_path / "pbx.key").write_bytes(pki.certified_key(BERLIN).key)
    await fails("tls_key_file: .*pbx.key")
    (tmp_path / "pbx.key").write_text("no key")
    await fails("tls_key_file: .*pbx.key")
    put(tmp_path, pki.certified_key(BERLIN))
    (tmp_path / "ca.crt").write_bytes(b"")
    await fails("tls_ca_file: .*ca.crt")


async def test_a_certificate_that_is_revoked_in_use(secured: InProcess, pki: Pki, tmp_path: Path) -> None:
    """Phones go on; with a new one, put beside the running agent, nothing was lost."""
    first = pki.certified_key(BERLIN)
    put(tmp_path, first)
    async with running_agent(certified(secured.wire.address, tmp_path)) as pbx:
        await pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert await pbx.register("4711", "4712") == [200, 200]
        pki.authority.revoke([first.issued], now=time.time())
        assert secured.running.authorizer is not None
        await secured.running.authorizer.run_once()
        refused = await pbx.ask("PUT", port("4713"))
        assert refused.status == 503, refused.body
        pbx.agent.client.look_again()  # now, not when its lease is to be renewed
        await pbx.agent.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert await pbx.register("4711", "4712") == [200, 200]
        put(tmp_path, pki.certified_key(BERLIN))
        pbx.agent.client.look_again()
        await pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert await pbx.register("4711", "4712", "4713") == [200, 200, 200]
    request = status_pb2.ListSeatsRequest(project="projects/acme", license_type="port", page_size=10)
    listed = await secured.wire.status.ListSeats(request)
    assert {held.seat.holder for held in listed.seats} == {"4711", "4712", "4713"}
