"""Orders of agreements for tests: placed and refused through the API, on days that the test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, project_pb2
from master.rpc.convert.agreement_orders import ORDERS
from tests.support.masters import PROJECT, InProcess
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, imported, item, moved

NAME = f"projects/{PROJECT}"
Problem = agreement_pb2.AgreementProblem
LICENSE, DEVICE, CONTRACT = (
    orders.SUBJECT_KIND_LICENSE,
    orders.SUBJECT_KIND_DEVICE,
    orders.SUBJECT_KIND_CONTRACT,
)
_EXAMPLES = Path(__file__).parents[3] / "examples" / "prices"
_PLATFORMS = {"innovaphone": "gateway", "distribution_engine": "cloud", "beacon": "hub"}
_FIELDS = {kind.__name__: field for field, kind in ORDERS.items()}

SSA_PRICES = """
[prices]
catalog = "innovaphone"
currency = "EUR"
credit = "1.20"

[values]
port = "100"
"port%500" = "80"
standby = "40"
mypbx = "10"
softwarephone = "30"
"""
"""15 % of 100 for each port and year: 15 credits."""


def noon(day: str) -> float:
    """Twelve o'clock on a day, UTC, as UNIX seconds."""
    return datetime.combine(date.fromisoformat(day), datetime.min.time().replace(hour=12), UTC).timestamp()


def wanted(order: Message) -> orders.AgreementOrder:
    """The order as it is sent."""
    sent = orders.AgreementOrder()
    getattr(sent, _FIELDS[type(order).__name__]).CopyFrom(order)
    return sent


def license_(*ids: str) -> list[orders.AgreementSubject]:
    return [orders.AgreementSubject(kind=LICENSE, id=identifier) for identifier in ids]


def device(*names: str) -> list[orders.AgreementSubject]:
    return [orders.AgreementSubject(kind=DEVICE, id=name) for name in names]


def contract(*names: str) -> list[orders.AgreementSubject]:
    return [orders.AgreementSubject(kind=CONTRACT, id=name) for name in names]


class AgreementOrders:
    """Where somebody orders, asks and waits for days to come."""

    def __init__(self, master: InProcess, prices: str = "") -> None:
        self.master = master
        self.agreements = master.wire.agreements
        self.prices = prices
        self.vendor = Vendor()

    async def opened(
        self,
        day: str,
        *,
        catalog: str = "innovaphone",
        time_zone: str = "",
        software: str = "12",
        platform: str = "",
    ) -> AgreementOrders:
        """The project is there, on its first day."""
        self.on(day)
        platform = platform or _PLATFORMS.get(catalog, "server")
        estate = project({}, pbxs={"hq": f"master {software} {platform}", "berlin": f"slave {software} {platform}"})
        estate.catalog, estate.time_zone = catalog, time_zone
        await self.master.wire.apply(estate)
        return self

    def on(self, day: str) -> None:
        """It is noon of that day."""
        self.master.clock.now = noon(day)

    async def licensed(
        self, license_id: str, printed: str, quantity: int, *, agreement: str = "", bound: bool = True
    ) -> None:
        """A license from a vendor's file, bound to the license master today."""
        ends = noon(agreement) - 43_200 if agreement else None
        what = {license_id: item(license_id, printed, quantity, agreement=ends)}
        await imported(self.master.wire, self.vendor, what, now=self.master.clock.now)
        if bound:
            await self.bound(license_id)

    async def bound(self, license_id: str) -> None:
        """It is bound to the license master today."""
        moved(await bind(self.master.wire, "hq-box", license_id))

    async def declared(self, license_id: str, printed: str, quantity: int) -> None:
        """A license of the project file, on the license master's device."""
        projects = self.master.wire.projects
        actual = (await projects.GetProject(project_pb2.GetProjectRequest(name=NAME))).project
        actual.licenses.add(id=license_id, type=printed, quantity=quantity, device="hq-box")
        await self.master.wire.apply(actual)

    async def answer(
        self, order: Message, *, request_id: str = "", dry_run: bool = False, prices: str | None = None
    ) -> agreement_pb2.PlaceOrderResponse:
        request = agreement_pb2.PlaceOrderRequest(
            project=NAME,
            order=wanted(order),
            dry_run=dry_run,
            request_id=request_id or str(uuid4()),
            reason="a slip" if type(order).__name__ in ("Reverse", "CorrectDevice") else "",
        )
        text = self.prices if prices is None else prices
        if text:
            request.prices.CopyFrom(agreement_pb2.PriceFile(name="prices.toml", text=text))
        return await self.agreements.PlaceOrder(request)

    async def place(self, order: Message, *, dry_run: bool = False) -> agreement_pb2.PlacedOrder:
        """It must be carried out."""
        answer = await self.answer(order, dry_run=dry_run)
        assert answer.WhichOneof("outcome") == "placed", answer.refused
        return answer.placed

    async def refuse(self, order: Message) -> agreement_pb2.AgreementRefusal:
        """It must be refused, the same as a quote, with a remedy, and change nothing."""
        before = await self.ledger()
        answer = await self.answer(order)
        assert answer.WhichOneof("outcome") == "refused", answer.placed
        assert answer.refused.message
        assert answer.refused.remedy
        assert await self.ledger() == before
        return answer.refused

    async def quote(self, order: Message, prices: str = "") -> agreement_pb2.Quote:
        """It must be quoted."""
        before = await self.ledger()
        price_file = agreement_pb2.PriceFile(name="prices.toml", text=prices or self.prices)
        request = agreement_pb2.QuoteOrderRequest(project=NAME, order=wanted(order), prices=price_file)
        answer = await self.agreements.QuoteOrder(request)
        assert answer.WhichOneof("outcome") == "quote", answer.refused
        assert await self.ledger() == before
        return answer.quote

    async def ledger(self, as_of: float | None = None) -> agreement_pb2.ListEntriesResponse:
        """The whole ledger."""
        return await self.agreements.ListEntries(
            agreement_pb2.ListEntriesRequest(project=NAME, page_size=1000, as_of=_moment(as_of))
        )

    async def balance(self) -> str:
        """The credits there are."""
        return (await self.ledger()).balance

    async def all(self, day: str = "", as_of: float | None = None) -> agreement_pb2.ListAgreementsResponse:
        """How everything stands."""
        request = agreement_pb2.ListAgreementsRequest(project=NAME, day=day, as_of=_moment(as_of))
        return await self.agreements.ListAgreements(request)

    async def agreement(self, about: str, day: str = "", as_of: float | None = None) -> agreement_pb2.Agreement:
        """How one thing stands, by its id."""
        return next(agreement for agreement in (await self.all(day, as_of)).agreements if agreement.subject.id == about)

    async def cover(self, about: str, policy: str, day: str = "", as_of: float | None = None) -> tuple[bool, str]:
        """Whether a policy is in force for something, and the day on which that ends or ended."""
        agreement = await self.agreement(about, day, as_of)
        agreement_cover = next(cover for cover in agreement.covers if cover.policy == policy)
        return agreement_cover.in_force, agreement_cover.end_day

    async def right(self, about: str, day: str = "", as_of: float | None = None) -> agreement_pb2.Right:
        """What one thing may do on a day."""
        request = agreement_pb2.GetRightsRequest(project=NAME, day=day, as_of=_moment(as_of))
        answer = await self.agreements.GetRights(request)
        return next(right for right in answer.rights if right.subject.id == about)

    async def endings(self, from_day: str = "", days: int = 0) -> Sequence[agreement_pb2.Ending]:
        request = agreement_pb2.ListEndingsRequest(project=NAME, from_day=from_day, days=days)
        return (await self.agreements.ListEndings(request)).endings

    async def gate(self, server: str, to: str, *, start: str = "", day: str = "") -> agreement_pb2.CheckUpgradeResponse:
        request = agreement_pb2.CheckUpgradeRequest(
            server=f"{NAME}/devices/{server}", to_release=to, from_release=start, day=day
        )
        return await self.agreements.CheckUpgrade(request)


def _moment(at: float | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromNanoseconds(int(at * 1e9))
    return stamp


def prices_of(catalog: str) -> str:
    """The example price file of a catalog."""
    return (_EXAMPLES / f"{catalog.replace('_', '-')}.toml").read_text(encoding="utf-8")
