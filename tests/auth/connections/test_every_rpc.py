"""Whatever anybody sends to an RPC over TLS, theirs to call or not, is answered, and the answer tells of no insides."""

from __future__ import annotations

import logging
import time

import pytest
from structlog.testing import capture_logs

from licensemaster.v1 import project_pb2
from tests.auth.pki import Pki, shown_to
from tests.rpc.fuzzing import Chance, Told, answer, every_rpc, request
from tests.support.masters import InProcess
from tests.support.projects.estates import project

ROUNDS = 3


@pytest.mark.parametrize("secured", [{"refused_calls_per_second": 1_000}], ids=["no pauses"], indirect=True)
@pytest.mark.parametrize(
    "who", ["projects/acme/pbxs/berlin", "projects/other/viewers/eve", "viewers/eve", "metrics/scraper", "revoked"]
)
async def test_whatever_anybody_sends_is_answered(
    secured: InProcess, pki: Pki, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    certified_key = pki.certified_key("viewers/mallory" if who == "revoked" else who)
    if who == "revoked":
        pki.authority.revoke([certified_key.issued], now=time.time())
        assert secured.running.authorizer is not None
        await secured.running.authorizer.run_once()
    chance = Chance(7, {"ApplyProjectRequest": project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 5}))})
    tally = Told()
    async with shown_to(secured.wire.address, certified_key.credentials) as wire:
        with capture_logs() as lines:
            for _ in range(ROUNDS):
                for rpc in every_rpc():
                    sent = request(chance, rpc)
                    tally.take(rpc, sent, *await answer(rpc, wire.channel, sent))
    assert not tally.wrong, "\n".join(tally.wrong[:20])
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
