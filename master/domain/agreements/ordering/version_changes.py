"""Decisions on changes of version: free of charge under an agreement (M1, M6), or in the balance for a year (L6)."""

from __future__ import annotations

from datetime import date

from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.orders import ConvertVersion, PayLicenses, PublishRelease, UpgradeVersion
from master.domain.agreements.ledger.pricing import ExactLine
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ledger.snapshot import LicenseFacts
from master.domain.agreements.ledger.state import PaidTerm
from master.domain.agreements.ordering.order_draft import COUNT_MAX, OrderDraft, malformed, refuse
from master.domain.agreements.ordering.renewals import charge_term
from master.domain.catalog.catalog import UnknownLicenseNameError
from master.domain.catalog.dates import Term, add_months
from master.domain.catalog.policies import Grants, SubjectKind, Unit
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import PROJECT, Subject


def upgrade_version(draft: OrderDraft, order: UpgradeVersion) -> None:
    """Decide an `UpgradeVersion`: allowed while the agreement runs, to versions published in its paid time (M1, M6)."""
    for facts in _licenses(draft, order.licenses):
        now = _versioned(draft, facts, order.version)
        if order.version < now:
            refuse(
                AgreementProblem.VERSION_TOO_LOW,
                f"{facts} is for version {now} already, and enables everything below it",
                remedy="leave it as it is",
                rules=("B2", "M1"),
                subject=facts.subject,
                field="version",
            )
        policy = draft.snapshot.policy_granting(facts.subject, Grants.UPGRADES)
        if policy is None:
            refuse(
                AgreementProblem.NOT_COVERED,
                f"no agreement covers {facts}",
                remedy=f"buy {facts.type.display_name} licenses of version {order.version}",
                rules=("M8",),
                subject=facts.subject,
                field="licenses",
            )
        cover = draft.snapshot.cover(facts.subject, policy.key)
        if not cover.holds_on(draft.day):
            ended = f"ended on {cover.ends}" if cover.ends else "was never bought"
            refuse(
                AgreementProblem.NOT_IN_FORCE,
                f"the {policy.title} of {facts} {ended}; without it nothing is upgraded",
                remedy="resume it; the time that was not paid costs more than in advance",
                rules=("M1", "M6"),
                subject=facts.subject,
                field="licenses",
            )
        published = _published(draft, order.version)
        if not draft.snapshot.has_paid_for(facts.subject, policy.key, published):
            refuse(
                AgreementProblem.RELEASED_OUTSIDE,
                f"version {order.version} was published on {published}, outside of the {policy.title} of {facts}",
                remedy=f"buy {facts.type.display_name} licenses of version {order.version}",
                rules=("M1",),
                subject=facts.subject,
                field="version",
            )
        details = {"from_version": now, "version": order.version, "converted": False}
        reason = f"upgraded free of charge from version {now} to {order.version}, published on {published}"
        draft.write(EntryKind.VERSION_SET, facts.subject, details, reason=reason, rules=("M1",), policy=policy.key)


def convert_version(draft: OrderDraft, order: ConvertVersion) -> None:
    """Decide a `ConvertVersion`: in the balance only; the old agreement is void and a new year is charged (L6)."""
    offer = draft.offer(order.offer)
    if not offer.conversion_months:
        able = [key for key, offer in draft.snapshot.time.offers.items() if offer.conversion_months]
        message = f"{offer.title} does not pay for a conversion"
        remedy = f"choose {' or '.join(able)}" if able else "buy licenses of the version that is wanted"
        refuse(AgreementProblem.UNKNOWN_OFFER, message, remedy=remedy, rules=("L6",), field="offer")
    for facts in _licenses(draft, order.licenses):
        now = _versioned(draft, facts, order.version)
        if not facts.is_free and facts.type.releasable:  # what cannot be released is converted in place (M8)
            refuse(
                AgreementProblem.NOT_FREE,
                f"{facts} is bound to a device; versions are converted in the balance only",
                remedy="release it first, or rebind it straight to the other device, which keeps its agreement",
                rules=("L6",),
                subject=facts.subject,
                field="licenses",
            )
        _published(draft, order.version)
        details = {"from_version": now, "version": order.version, "converted": True}
        where = "in the balance" if facts.is_free else "in place"
        reason = f"converted {where} from version {now} to {order.version}"
        draft.write(EntryKind.VERSION_SET, facts.subject, details, reason=reason, rules=("L6",))
        for key in offer.policies:
            policy = draft.snapshot.time.policies[key]
            if policy not in draft.snapshot.policies_of(facts.subject):
                refuse(
                    AgreementProblem.NOT_COVERED,
                    f"{policy.title} does not cover {facts}, so it cannot be converted",
                    remedy=f"buy {facts.type.display_name} licenses of version {order.version}",
                    rules=("L6", "M8"),
                    subject=facts.subject,
                    field="licenses",
                )
            draft.carry_over(facts.subject, policy)
            if (ends := draft.snapshot.cover(facts.subject, key).end_from(draft.day)) is not None:
                reason = f"void by the conversion; it would have run until {ends}"
                draft.write(EntryKind.TERMS_VOIDED, facts.subject, {}, policy=key, reason=reason, rules=("L6",))
            months = offer.conversion_months
            term = Term(draft.day, add_months(draft.day, months))
            reason = f"a new year by the conversion: {term}"
            paid = PaidTerm(term=term, anchor=draft.day, anchor_months=months, how="bought", offer=offer.key)
            draft.add_term(facts.subject, policy, paid, reason=reason)
            charge_term(draft, facts.subject, offer, months, paid)


def pay_licenses(draft: OrderDraft, order: PayLicenses) -> None:
    """Decide a `PayLicenses`: credits pay for licenses as well as for their agreements (M2)."""
    try:
        name = draft.snapshot.catalog.read_name(order.type)
    except UnknownLicenseNameError as error:
        remedy = "write it as the price list does, such as PBX-Port12"
        refuse(AgreementProblem.UNKNOWN_TYPE, str(error), remedy=remedy, field="type")
    if not 0 < order.quantity <= COUNT_MAX:
        message = f"{order.quantity} is no number of licenses"
        malformed("quantity", message, remedy=f"give a whole number from 1 to {COUNT_MAX}")
    paid_in_credits = {
        policy
        for offer in draft.snapshot.time.offers.values()
        if offer.unit is Unit.CREDITS
        for policy in offer.policies
    }
    if not paid_in_credits & set(name.type.policies):
        message = f"{name.type.display_name} licenses are not paid with credits"
        remedy = "buy them from the vendor, and import the file"
        refuse(AgreementProblem.NOT_COVERED, message, remedy=remedy, rules=("M2",), field="type")
    printed = name.type.printed(version=name.version, tier=name.tier)
    details = {"type": printed, "version": name.version or 0, "quantity": order.quantity}
    reason = f"{order.quantity} x {printed} paid with credits"
    draft.write(EntryKind.LICENSES_PAID, PROJECT, details, reason=reason, rules=("M2",))
    key = name.type.key if name.tier is None else f"{name.type.key}%{name.tier}"
    each = draft.price("values", key, unit=Unit.CREDITS)
    why = f"{order.quantity} x {printed}"
    draft.charge(
        ExactLine(what=printed, quantity=order.quantity, each=each, paid_in=Unit.CREDITS, why=why, rules=("M2",))
    )
    draft.notes.append("the licenses come with the vendor's file: import it when it is there")


def publish_release(draft: OrderDraft, order: PublishRelease) -> None:
    release = draft.release(order.release, "release", read=ReleaseName.exact)
    if (known := draft.snapshot.releases.get(release)) is not None:
        if known == order.day:
            draft.notes.append(f"{release} is known already")
            return
        if not order.correct:
            message = f"{release} was published on {known}"
            remedy = "say that the day is to be corrected (--correct); what was decided by the other one stands"
            refuse(AgreementProblem.ALREADY_THERE, message, remedy=remedy, field="release")
    reason = f"{release} was published on {order.day}" + (f", not on {known}" if known is not None else "")
    draft.write(EntryKind.RELEASE_PUBLISHED, PROJECT, {"release": str(release)}, reason=reason, day=order.day)


def _licenses(draft: OrderDraft, ids: tuple[str, ...]) -> list[LicenseFacts]:
    if not ids or len(set(ids)) < len(ids):
        malformed("licenses", "licenses is empty, or names one twice", remedy="name each license once")
    for id in ids:
        if id not in draft.snapshot.licenses:
            refuse(
                AgreementProblem.UNKNOWN_SUBJECT,
                f"the project has no license {id!r}",
                remedy="check the license's id",
                subject=Subject.of(SubjectKind.LICENSE, id),
                field="licenses",
            )
    return [draft.snapshot.licenses[id] for id in ids]


def _versioned(draft: OrderDraft, facts: LicenseFacts, version: int) -> int:
    """Return a license's version now; refuse the wanted version if it is the same, or one its type cannot have."""
    now = draft.snapshot.version(facts)
    if now is None or not 0 < version < 1000:
        remedy = "name a license that has a version, and a version such as 13"
        malformed("version", f"{facts} cannot get version {version}", remedy=remedy, subject=facts.subject)
    if version == now:
        message = f"{facts} has version {now} already"
        remedy = "name another version"
        refuse(AgreementProblem.SAME_VERSION, message, remedy=remedy, subject=facts.subject, field="version")
    if version < facts.type.minimum_version:
        refuse(
            AgreementProblem.VERSION_TOO_LOW,
            f"{facts.type.display_name} licenses start at version {facts.type.minimum_version}",
            remedy=f"name version {facts.type.minimum_version} or higher",
            rules=("I4",),
            subject=facts.subject,
            field="version",
        )
    return now


def _published(draft: OrderDraft, version: int) -> date:
    """Return the day on which the first release of a version was published; refuse if none was by the draft's day."""
    published = draft.snapshot.first_published(version, by=draft.day)
    if published is None:
        message = f"no release of version {version} is known to be published by {draft.day}"
        remedy = "enter its release and day first"
        refuse(AgreementProblem.UNKNOWN_RELEASE, message, remedy=remedy, rules=("M1",), field="version")
    return published
