"""Loans as a master's answers bring them: what is not genuine changes nothing, and what is kept is shown again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio

from licensemaster.tls.channels import open_channel
from licensemaster.v1 import document_pb2, lease_pb2, loan_pb2
from slave_client import NetworkSwitch, NoticeKind, SlaveClient, State
from tests.slave_client.conftest import HeldClock, RestartableMaster, client_config
from tests.slave_client.loans.lending import allow_loans, hears_of, lend, sail
from tests.slave_client.operating import noticed
from tests.slave_client.phones import PHONES, connected
from tests.support.limits import HANG_SECONDS
from tests.support.masters import UNHURRIED

_WITH_LOANS = {"OpenLease": lease_pb2.OpenLeaseResponse, "RenewLease": lease_pb2.RenewLeaseResponse}


class _Between(grpc.GenericRpcHandler):
    """Hands on what the master answers, with other loans in it once there are some."""

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel
        self.loans: list[document_pb2.SignedDocument] | None = None
        self.shown: list[document_pb2.SignedDocument] = []
        """The loans that the last opening brought."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        call: aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(details.method)
        method = details.method.rpartition("/")[2]

        async def hand_on(request: bytes, _: object) -> bytes:
            response = await call(request)
            if method == "OpenLease":
                self.shown = list(lease_pb2.OpenLeaseRequest.FromString(request).loans)
            if method in _WITH_LOANS and self.loans is not None:
                message = _WITH_LOANS[method]()
                message.ParseFromString(response)
                del message.loans[:]
                message.loans.extend(self.loans)
                response = message.SerializeToString()
            return response

        return grpc.unary_unary_rpc_method_handler(hand_on) if method != "WatchLease" else None


@asynccontextmanager
async def _between(master: RestartableMaster) -> AsyncIterator[tuple[_Between, str]]:
    async with open_channel(master.address, options=UNHURRIED) as channel:
        between, server = _Between(channel), aio.server()
        server.add_generic_rpc_handlers((between,))
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        yield between, address
        await server.stop(None)


def _altered(signed: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    altered = document_pb2.SignedDocument()
    altered.CopyFrom(signed)
    altered.signature = bytes([altered.signature[0] ^ 1]) + altered.signature[1:]
    return altered


@pytest.mark.parametrize("what", ["forged", "another PBX's", "older", "a lease"])
async def test_a_loan_that_is_not_the_newest_genuine_one_of_this_pbx_changes_nothing(
    master: RestartableMaster, tmp_path: Path, what: str
) -> None:
    await allow_loans(master)
    time, line = HeldClock(master.clock), NetworkSwitch()
    async with (
        _between(master) as (between, address),
        SlaveClient(client_config(address, state_dir=tmp_path / "b"), network=line, clock=time) as ship,
        SlaveClient(master.config("rome", state_dir=tmp_path / "r"), clock=time) as rome,
    ):
        await connected(ship)
        await connected(rome)
        await ship.acquire_many(PHONES[:4])
        older = await lend(master, 1)
        await lend(master, 2)
        await hears_of(ship, 2)
        verified = ship._runtime.parts.client_state.verified
        assert verified is not None
        between.loans = [
            {
                "forged": _altered(older),
                "another PBX's": await lend(master, 1, pbx="rome"),
                "older": older,
                "a lease": verified.document,
            }[what]
        ]
        ship.look_again()

        await noticed(ship, NoticeKind.LOAN_NOT_TRUSTED)
        line.cut()
        ship.look_again()
        await ship.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        sail(time)
        assert ship.state is State.BORROWING
        assert [held.want for held in ship.held] == PHONES[:2]


async def test_a_loan_is_shown_as_the_lease_is_opened_anew(master: RestartableMaster, tmp_path: Path) -> None:
    """A master that was restored learns of it so."""
    await allow_loans(master)
    async with _between(master) as (between, address):
        config = client_config(address, state_dir=tmp_path)
        async with SlaveClient(config) as ship:
            await connected(ship)
            lent = await lend(master, 2)
            await hears_of(ship, 2)
        async with SlaveClient(config) as ship:
            await connected(ship)
        (shown,) = between.shown
        assert loan_pb2.LoanTerms.FromString(shown.payload).serial == loan_pb2.LoanTerms.FromString(lent.payload).serial
