"""A ledger in memory for tests of the deciding core: orders are decided and, where allowed, written down and folded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from importlib.resources import files
from zoneinfo import ZoneInfo

from master.domain.agreements.ledger.entries import Entry
from master.domain.agreements.ledger.fold import fold, recorded_before
from master.domain.agreements.ledger.orders import Order
from master.domain.agreements.ledger.price_file import read_prices
from master.domain.agreements.ledger.pricing import PriceList
from master.domain.agreements.ledger.problems import AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot, LicenseFacts
from master.domain.agreements.ledger.state import State
from master.domain.agreements.ordering.decide_order import Decision, Quote, decide, quote
from master.domain.agreements.rights.rights import Right, right_of
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.catalog_file import read_catalog
from master.domain.catalog.dates import first_instant_after
from master.domain.catalog.policies import SubjectKind
from master.domain.catalog.subjects import Subject
from master.values import replace

ZONE = ZoneInfo("Europe/Berlin")


def catalog(name: str) -> Catalog:
    """A catalog that comes along."""
    text = files("master.domain.catalog.vendors").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return read_catalog(text, file=f"{name}.toml")


INNOVAPHONE, ISYMPHONY, ALLWORX = catalog("innovaphone"), catalog("isymphony"), catalog("allworx")
DISTRIBUTION_ENGINE = catalog("distribution_engine")


def known_on(entries: Iterable[Entry], day: date) -> tuple[Entry, ...]:
    """The entries that were known when a day was over."""
    return recorded_before(entries, first_instant_after(day, ZONE))


def what_may_run(snapshot: AgreementSnapshot, day: date) -> tuple[Right, ...]:
    """What everything that is known may do on a day."""
    return tuple(right_of(snapshot, subject, day) for subject in snapshot.subjects())


def prices(of: Catalog, rest: str) -> PriceList:
    head = f'[prices]\ncatalog = "{of.name}"\ncurrency = "USD"\ncredit = "1.10"\n'
    return read_prices(head + rest, file="prices.toml", catalog=of)


def license(id: str) -> Subject:
    return Subject.of(SubjectKind.LICENSE, id)


def device(id: str) -> Subject:
    return Subject.of(SubjectKind.DEVICE, id)


def contract(id: str) -> Subject:
    return Subject.of(SubjectKind.CONTRACT, id)


def owned(id: str, type: str, **more: object) -> LicenseFacts:
    """A license of the innovaphone estate, ten pieces of version 12, bound on 1 January 2024."""
    facts = LicenseFacts(
        id=id,
        type=INNOVAPHONE.types[type],
        version=12,
        quantity=10,
        first_bound_on=date(2024, 1, 1),
        is_free=False,
    )
    return replace(facts, **more)  # type: ignore[arg-type]


@dataclass
class LedgerInMemory:
    """A project's ledger."""

    catalog: Catalog
    prices: PriceList | None = None
    licenses: Mapping[str, LicenseFacts] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    _folded: tuple[int, State] = (0, State())
    """How many entries were folded last, and to what."""

    @property
    def snapshot(self) -> AgreementSnapshot:
        if self._folded[0] != len(self.entries):
            self._folded = len(self.entries), fold(self.entries)
        return AgreementSnapshot(catalog=self.catalog, state=self._folded[1], licenses=self.licenses)

    def ask(self, order: Order, day: date) -> Decision | AgreementRefusal:
        """Decide without writing."""
        return decide(self.snapshot, order, day, self.prices)

    def quote(self, order: Order, day: date) -> Quote:
        """What it would cost."""
        assert self.prices is not None
        actual = quote(self.snapshot, order, day, self.prices)
        assert isinstance(actual, Quote), actual
        return actual

    def do(self, order: Order, day: date) -> Decision:
        """Decide and write down; it must be allowed."""
        decision = self.ask(order, day)
        assert isinstance(decision, Decision), decision
        self.write(decision, day)
        return decision

    def write(self, decision: Decision, day: date) -> None:
        """Append what was decided, at noon."""
        noon, first = datetime.combine(day, time(12), ZONE).timestamp(), len(self.entries) + 1
        for draft in decision.drafts:
            entry = draft.recorded(number=len(self.entries) + 1, recorded_at=noon, caller="test", order=first)
            self.entries.append(entry)

    def refused(self, order: Order, day: date) -> AgreementRefusal:
        """Decide; it must be refused, with everything that a refusal carries."""
        refusal = self.ask(order, day)
        assert isinstance(refusal, AgreementRefusal), refusal
        assert refusal.message
        assert refusal.remedy
        return refusal
