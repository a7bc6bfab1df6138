"""What orders are decided on: the catalog's policies, the state of the ledger, and the licenses of the estate.

This module gathers and decides nothing. Licenses come from the estate with the facts that agreements need (L7);
devices, contracts and licenses that were bought in the ledger are known by the ledger alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from master.domain.agreements.ledger.state import Cover, Holding, PaidTerm, State
from master.domain.catalog.catalog import Catalog, LicenseType
from master.domain.catalog.dates import Term
from master.domain.catalog.policies import Begins, Grants, Policies, Policy, Product, SubjectKind
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject
from master.values import Value, field


class LicenseFacts(Value, kw_only=True):
    """A license of the estate as agreements see it; days are those of the project's time zone."""

    id: str
    type: LicenseType
    version: int | None
    tier: int | None = None
    quantity: int
    first_bound_on: date | None
    """The day of the first binding, kept for good (L7); None while the license was never bound."""
    is_free: bool
    """Whether the license lies in the balance."""
    agreement_ends_on: date | None = None
    """The first day without an agreement by the vendor's file; None for no agreement. The ledger's terms go first."""
    imported_on: date | None = None
    """The day on which the vendor's file was imported; None where that is not known."""
    pbx: str = ""
    """The PBX whose device the license is bound to; empty for none."""

    @property
    def agreement_begins_on(self) -> date | None:
        """The first day of the agreement by the vendor's file; None where the file has none.

        The file says nothing of the time before: a license that was never bound, or that a file converted (L6), is
        covered from its import on, any other from its first binding on (M3).
        """
        if self.agreement_ends_on is None:
            return None
        days = [day for day in (self.first_bound_on, self.imported_on) if day is not None]
        return min(max(days, default=self.agreement_ends_on), self.agreement_ends_on)

    @property
    def subject(self) -> Subject:
        """The subject by which the ledger names the license."""
        return Subject.of(SubjectKind.LICENSE, self.id)

    def __str__(self) -> str:
        printed = self.type.printed(version=self.version, tier=self.tier)
        return f"{self.quantity} x {printed} ({self.id})"


class AgreementSnapshot(Value, kw_only=True):
    """Licenses, ledger and catalog of one project at one moment: what orders and rights are decided on."""

    catalog: Catalog
    state: State = field(default_factory=State)
    licenses: Mapping[str, LicenseFacts] = field(default_factory=dict)
    """The licenses of the estate, by id."""

    @property
    def time(self) -> Policies:
        return self.catalog.time

    @property
    def releases(self) -> Mapping[ReleaseName, date]:
        """The day of publication of each known release; what the ledger says goes before the catalog."""
        return {**self.catalog.time.releases, **self.state.releases}

    def license(self, subject: Subject) -> LicenseFacts | None:
        """Return the license of the estate that a subject names; None where it names none."""
        return self.licenses.get(subject.id) if subject.kind == SubjectKind.LICENSE.value else None

    def product(self, holding: Holding) -> Product | None:
        """Return the product that a holding is of; None for a license of the estate."""
        return self.time.products.get(holding.product)

    def cover(self, subject: Subject, policy: str) -> Cover:
        """Return the terms of a subject under a policy; without terms in the ledger, the vendor's file's agreement."""
        cover = self.state.holding(subject).cover(policy)
        facts = self.license(subject)
        if subject in self.state.holdings and policy in self.state.holding(subject).covers:
            return cover
        if facts is None or policy not in facts.type.policies:
            return cover
        begins, ends = facts.agreement_begins_on, facts.agreement_ends_on
        if begins is None or ends is None:
            return cover
        term = Term(begins, ends)
        paid = PaidTerm(term=term, anchor=term.ends, anchor_months=0, how="vendor", offer="", entry=0)
        return Cover(policy=policy, terms=(paid,))

    def has_paid_for(self, subject: Subject, policy: str, published: date) -> bool:
        """Tell whether a publication day lies in paid time (M1); paid time before a conversion does not count (L6)."""
        converted_on = self.state.holding(subject).converted_on
        return self.cover(subject, policy).holds_on(published) and (converted_on is None or converted_on <= published)

    def policies_of(self, subject: Subject) -> tuple[Policy, ...]:
        """Return the policies that can have terms for a subject: those of its type or product, and of its trial."""
        facts = self.license(subject)
        names: list[str] = []
        if facts is not None:
            version = self.version(facts)
            names += facts.type.policies if version is None or version >= facts.type.covered_from_version else ()
        holding = self.state.holding(subject)
        if (product := self.product(holding)) is not None:
            names += product.policies
            if product.trial is not None:
                names += self.time.offers[product.trial].policies
        return tuple(self.time.policies[name] for name in dict.fromkeys(names))

    def policy_granting(self, subject: Subject, grants: Grants) -> Policy | None:
        """Return the policy of a subject that grants upgrades, use or repair, as asked; None where none does."""
        return next((policy for policy in self.policies_of(subject) if policy.grants is grants), None)

    def first_published(self, major: int, *, by: date = date.max) -> date | None:
        """Return the day of the first release of a version; None where none is known to be published by a day."""
        days = (day for release, day in self.releases.items() if release.major == major and day <= by)
        return min(days, default=None)

    def begins(self, subject: Subject, policy: Policy) -> date | None:
        """Return the day from which a policy counts for a subject; None while that day has not come."""
        facts, holding = self.license(subject), self.state.holding(subject)
        if policy.begins is Begins.FIRST_BINDING:
            return facts.first_bound_on if facts is not None else None
        return holding.began_on if policy.begins is Begins.DELIVERY else holding.bought_on

    def subjects(self) -> Iterator[Subject]:
        """Return all subjects, in order, without licenses that were replaced or left the project."""
        known = {facts.subject for facts in self.licenses.values()}
        known |= {subject for subject, holding in self.state.holdings.items() if holding.product}
        return iter(sorted(known))

    def version(self, facts: LicenseFacts) -> int | None:
        """Return the version of a license, as upgraded or converted in the ledger."""
        changed = self.state.holding(facts.subject).version
        return facts.version if changed is None else changed
