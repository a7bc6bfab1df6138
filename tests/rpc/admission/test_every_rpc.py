"""Whatever is sent to whichever RPC, the answer is one that its caller can act on.

Never INTERNAL or UNKNOWN, never a failure of storage that the request itself caused, and no traceback, statement or
path in what is told. By chance with a fixed seed here; `TESTS_LONG=1` takes other seeds and many more.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from uuid import uuid4

import grpc
import pytest
from structlog.testing import capture_logs

from licensemaster.v1 import lease_pb2, project_pb2, status_pb2
from tests.rpc.failures import NAME
from tests.rpc.fuzzing import Chance, Told, answer, every_rpc, request
from tests.support.limits import LONG
from tests.support.loop import Loop
from tests.support.projects.estates import project

ROUNDS = 400 if LONG else 20
CODE = grpc.StatusCode
pytestmark = pytest.mark.timeout(3600)
PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway", "spare": "standby:berlin 12 gateway"}
ESTATE = project({"PBX-Port12": 5, "PBX-Standby12": 5}, pbxs=PBXS)


@pytest.fixture
def loop(database_url: str) -> Iterator[Loop]:
    """A master on each kind of database."""
    with Loop(database_url) as loop:
        yield loop


def test_whatever_is_sent_is_answered(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    seed = random.randrange(2**32) if LONG else 11
    apply = project_pb2.ApplyProjectRequest(project=ESTATE, request_id="request-0")
    with capture_logs() as lines:
        answer = loop.run(_sent(loop, Chance(seed, {"ApplyProjectRequest": apply})))
        loop.run(_applied(loop))
        loop.run(_alive(loop))
    assert not answer.wrong, f"seed {seed}: {len(answer.wrong)} of {sum(answer.codes.values())}\n" + "\n".join(
        answer.wrong[:20]
    )
    assert answer.codes[CODE.OK] > sum(answer.codes.values()) / 20, answer.codes
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def _sent(loop: Loop, chance: Chance) -> Told:
    channel, reported = loop.master.wire.channel, Told()
    for _ in range(ROUNDS):
        await _applied(loop)
        chance.epochs = [await _opened(loop, pbx) for pbx in ("berlin", "spare")]
        for rpc in every_rpc():
            sent = request(chance, rpc)
            reported.take(rpc, sent, *await answer(rpc, channel, sent))
    return reported


async def _applied(loop: Loop) -> None:
    """The project as it is to begin with, where chance has taken it away."""
    try:
        await loop.master.wire.apply(ESTATE)
    except grpc.aio.AioRpcError as error:
        if error.code() is not CODE.INVALID_ARGUMENT:  # what chance has bound or ordered may stand in its way
            raise


async def _opened(loop: Loop, pbx: str) -> int:
    """The epoch of a new lease."""
    request = lease_pb2.OpenLeaseRequest(
        pbx=f"{NAME}/pbxs/{pbx}", instance_id="fuzz", request_id=str(uuid4()), software_version="12"
    )
    return (await loop.master.wire.leases.OpenLease(request)).lease.epoch


async def _alive(loop: Loop) -> None:
    await loop.master.wire.status.GetStatus(status_pb2.GetStatusRequest(project=NAME))
