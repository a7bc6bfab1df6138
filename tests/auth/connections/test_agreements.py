"""Agreements over real connections with certificates: who orders, who only asks, and a PBX that asks for itself."""

from __future__ import annotations

import grpc

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import NAME, failure
from tests.support.masters import InProcess, Wire
from tests.support.projects.agreements import wanted

ORDER = agreement_pb2.PlaceOrderRequest(
    project=NAME, order=wanted(orders.AddCredits(amount="5")), request_id="one", dry_run=False
)
PRICES = agreement_pb2.PriceFile(name="prices.toml", text='[prices]\ncatalog = "innovaphone"\ncurrency = "EUR"\n')


async def test_operators_order_and_the_ledger_says_who_it_was(secured: InProcess) -> None:
    await secured.wire.agreements.PlaceOrder(ORDER)
    (entry,) = (await secured.wire.agreements.ListEntries(agreement_pb2.ListEntriesRequest(project=NAME))).entries
    assert entry.caller.startswith("license-master://operators/anna (")


async def test_viewers_ask_and_do_not_order(secured: InProcess, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.certified_key("viewers/wall").credentials) as wire:
        stub = wire.agreements
        await stub.QuoteOrder(agreement_pb2.QuoteOrderRequest(project=NAME, order=ORDER.order, prices=PRICES))
        await stub.ListAgreements(agreement_pb2.ListAgreementsRequest(project=NAME))
        await stub.ListEndings(agreement_pb2.ListEndingsRequest(project=NAME))
        seen = await failure(stub.PlaceOrder(ORDER))
    assert (seen.code, seen.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_FORBIDDEN")
    ledger = await secured.wire.agreements.ListEntries(agreement_pb2.ListEntriesRequest(project=NAME))
    assert list(ledger.entries) == []


async def test_a_pbx_asks_the_gate_for_itself_and_nothing_else(berlin: Wire) -> None:
    def asked(server: str) -> agreement_pb2.CheckUpgradeRequest:
        return agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/{server}", to_release="13")

    assert (await berlin.agreements.CheckUpgrade(asked("pbxs/berlin"))).allowed
    for server in ("pbxs/paris", "devices/berlin-box", "licenses/license-1"):
        assert (await failure(berlin.agreements.CheckUpgrade(asked(server)))).reason == "NOT_YOUR_PBX"
    for call in (
        berlin.agreements.PlaceOrder(ORDER),
        berlin.agreements.ListEntries(agreement_pb2.ListEntriesRequest(project=NAME)),
    ):
        assert (await failure(call)).reason == "ROLE_FORBIDDEN"
