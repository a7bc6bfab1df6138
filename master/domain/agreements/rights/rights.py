"""What may run on a day: seats in force, releases, support (rules M1, M7, P1, P3, P5, Q5, Q7, R4).

Answers about one day from one snapshot. For a day in the past hand in the snapshot as it was known then
(`state.recorded_before`); for a day ahead it says what follows if nothing more is ordered.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import Enum

from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot, LicenseFacts
from master.domain.agreements.ledger.state import Holding
from master.domain.agreements.rights.upgrade_gate import upgrade_gate
from master.domain.catalog.dates import add_months
from master.domain.catalog.policies import Grants, Policy, Product
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject
from master.values import Value


class RightStatus(Enum):
    """Whether a license, device or contract may be used on a day."""

    RUNS = "runs"
    STOPPED = "stopped"
    """The trial or the paid year is over (P1, R3)."""
    NOT_YET = "not_yet"
    """The day is before the trial, purchase or delivery."""


class Right(Value, kw_only=True):
    """What one license, device or contract may do on a day."""

    subject: Subject
    title: str
    status: RightStatus
    counts: Mapping[str, int]
    """Seats in force by license type; empty where the subject may not be used."""
    until: date | None
    """The first day on which the use itself stops; None where the use never stops (P3, P5, Q7)."""
    upgrades_until: date | None
    """The first day without a right to newer releases; None where there is none on the day."""
    version: int | None
    """The highest version that a license of the estate enables (B2); else the product's major version, or None."""
    newest: ReleaseName | None
    """The newest published release that the subject runs or may be brought to at once; None where none is known."""
    features: tuple[str, ...]
    """Optional features that are on, by license type (Q5)."""
    is_supported: bool
    """Whether the vendor supports what runs: shown, never enforced (M7, P5)."""
    warranty_until: date | None
    """The first day without a warranty of the hardware; None where there is none on the day."""
    why: str
    rules: tuple[str, ...]


def right_of(snapshot: AgreementSnapshot, subject: Subject, day: date) -> Right:
    """Return what one license, device or contract may do on a day."""
    facts, holding = snapshot.license(subject), snapshot.state.holding(subject)
    product = snapshot.product(holding)
    if facts is not None and product is None:
        return _of_license(snapshot, facts, day)
    return _of_product(snapshot, holding, product, day)


def may_run(snapshot: AgreementSnapshot, subject: Subject, release: ReleaseName, day: date) -> AgreementRefusal | None:
    """Return why a license bought as a product may not run a release on a day; None where it may (P3, P5)."""
    holding = snapshot.state.holding(subject)
    product = snapshot.product(holding)
    status, _, why, rules = status_of(snapshot, holding, product, day)
    if status is not RightStatus.RUNS:
        return _refusal(AgreementProblem.NOT_IN_FORCE, subject, f"{subject}: {why}", "buy or renew it", rules)
    if product is None:
        return None
    if product.one_major and release.major > holding.major:  # lower ones are enabled, as in leasing (B2)
        why = f"{subject} is for version {holding.major}, and {release} is version {release.major}"
        return _refusal(
            AgreementProblem.OTHER_MAJOR, subject, why, f"buy a license of version {release.major}", ("P3",)
        )
    if holding.bought_on is None:
        return None  # a trial has everything of its version (P1)
    published = snapshot.releases.get(release)
    if published is None or published > day:
        why = f"no release {release} is known to be published by {day}"
        return _refusal(AgreementProblem.UNKNOWN_RELEASE, subject, why, "enter the release and its day first", ("P3",))
    policy = snapshot.policy_granting(subject, Grants.UPGRADES)
    if policy is not None and not _was_covered(snapshot, subject, policy, published):
        ends = snapshot.cover(subject, policy.key).ends
        why = f"{release} was published on {published}, after the {policy.title} of {subject} ended on {ends}"
        return _refusal(
            AgreementProblem.RELEASED_OUTSIDE, subject, why, "renew it; what runs goes on without", ("P3", "P5")
        )
    return None


def _of_license(snapshot: AgreementSnapshot, facts: LicenseFacts, day: date) -> Right:
    version = snapshot.version(facts)
    policy = snapshot.policy_granting(facts.subject, Grants.UPGRADES)
    until = snapshot.cover(facts.subject, policy.key).end_from(day) if policy is not None else None
    reachable = [
        release
        for release, published in snapshot.releases.items()
        if published <= day
        and version is not None
        and (release.major <= version or _upgradable(snapshot, facts, policy, release.major, day))
    ]
    why = f"enables version {version} and everything below, for ever" if version is not None else "has no version"
    if policy is not None:
        why += f"; newer versions until {until}" if until else f"; no {policy.title} on the day, so no newer versions"
    return Right(
        subject=facts.subject,
        title=str(facts),
        status=RightStatus.RUNS,
        counts={facts.type.key: facts.quantity},
        until=None,
        upgrades_until=until,
        version=version,
        newest=max(reachable, default=None),
        features=(),
        is_supported=_is_young(snapshot, version, policy, day),
        warranty_until=None,
        why=why,
        rules=policy.rules if policy is not None else ("B2",),
    )


def _of_product(snapshot: AgreementSnapshot, holding: Holding, product: Product | None, day: date) -> Right:
    subject = holding.subject
    policy = snapshot.policy_granting(subject, Grants.UPGRADES)
    repair = snapshot.policy_granting(subject, Grants.REPAIR)
    status, until, why, rules = status_of(snapshot, holding, product, day)
    upgrades = snapshot.cover(subject, policy.key).end_from(day) if policy is not None else None
    runs = status is RightStatus.RUNS
    if policy is not None and runs:
        why += f"; newer releases until {upgrades}" if upgrades else "; no newer releases, and what runs goes on"
    counts = counts_of(holding, product, day) if runs and product is not None else {}
    published = [release for release, on in snapshot.releases.items() if runs and on <= day]
    newest = max(
        (release_name for release_name in published if _may_get(snapshot, holding, release_name, day)), default=None
    )
    return Right(
        subject=subject,
        title=product.title if product is not None else str(subject),
        status=status,
        counts=counts,
        until=until,
        upgrades_until=upgrades,
        version=holding.major or None,
        newest=max((release for release in (newest, holding.installed) if release is not None), default=None),
        features=features_on(holding, product) if runs and product is not None else (),
        is_supported=runs and (policy is None or upgrades is not None or holding.is_on_trial),
        warranty_until=snapshot.cover(subject, repair.key).end_from(day) if repair is not None else None,
        why=why,
        rules=(*rules, *(policy.rules if policy is not None else ())),
    )


def status_of(
    snapshot: AgreementSnapshot, holding: Holding, product: Product | None, day: date
) -> tuple[RightStatus, date | None, str, tuple[str, ...]]:
    """Return whether a holding may be used on a day, the first day on which that stops, the reason and the rule ids."""
    since = holding.delivered_on or (holding.counts[0][0] if holding.counts else None)
    if product is None or since is None or day < since:
        return RightStatus.NOT_YET, None, f"not there before {since}" if since else "not bought", ()
    if product.trial is not None and holding.bought_on is not None and day < holding.bought_on:
        return RightStatus.RUNS, None, f"on trial; bought on {holding.bought_on}", ("P1", "P2")
    policy = use_policy(snapshot, holding, product)
    if policy is None:
        return RightStatus.RUNS, None, "runs for ever", product.rules
    cover = snapshot.cover(holding.subject, policy.key)
    if (ends := cover.end_from(day)) is None:
        return RightStatus.STOPPED, None, f"{policy.title} ended on {cover.ends}", policy.rules
    return RightStatus.RUNS, ends, f"{policy.title} until {ends}", policy.rules


def counts_of(holding: Holding, product: Product, day: date) -> Mapping[str, int]:
    """Return a holding's totals by license type on a day, included ones too, whether or not they may be used then."""
    return {**product.each_has, **holding.counts_on(day)}


def features_on(holding: Holding, product: Product) -> tuple[str, ...]:
    """Return the features whose key was given and that the installed release has (Q5)."""
    return tuple(feature for feature in holding.features if has_feature(product, feature, holding.installed))


def has_feature(product: Product, feature: str, installed: ReleaseName | None) -> bool:
    """Tell whether an installed release has an optional feature of a product (Q5)."""
    needed = product.features.get(feature)
    return needed is None or (installed is not None and installed >= needed)


def has_premier(snapshot: AgreementSnapshot, holding: Holding, day: date) -> bool:
    """Tell whether a holding has premier support on a day; premier support ends with the right to use (R5)."""
    status, _, _, _ = status_of(snapshot, holding, snapshot.product(holding), day)
    return status is RightStatus.RUNS and holding.premier_on(day)


def use_policy(snapshot: AgreementSnapshot, holding: Holding, product: Product) -> Policy | None:
    """Return the policy whose end stops the use of a product: a trial's until the purchase, or that of yearly seats."""
    names = product.policies
    if product.trial is not None and holding.bought_on is None:
        names = snapshot.time.offers[product.trial].policies
    return next((snapshot.time.policies[name] for name in names if snapshot.time.policies[name].stops_at_end), None)


def _may_get(snapshot: AgreementSnapshot, holding: Holding, release: ReleaseName, day: date) -> bool:
    if holding.installed is not None:
        return upgrade_gate(
            snapshot, holding.subject, from_release=holding.installed, to_release=release, day=day
        ).allowed
    return may_run(snapshot, holding.subject, release, day) is None


def _upgradable(snapshot: AgreementSnapshot, facts: LicenseFacts, policy: Policy | None, major: int, day: date) -> bool:
    """Tell whether an upgrade to a version is free on a day: a term runs, and the version came in paid time (M1)."""
    if policy is None:
        return False
    cover = snapshot.cover(facts.subject, policy.key)
    first = snapshot.first_published(major)
    return cover.holds_on(day) and first is not None and snapshot.has_paid_for(facts.subject, policy.key, first)


def _was_covered(snapshot: AgreementSnapshot, subject: Subject, policy: Policy, published: date) -> bool:
    """Tell whether a release came in paid time; what came before the first term came with the purchase (P3)."""
    cover = snapshot.cover(subject, policy.key)
    return cover.begins is not None and (published < cover.begins or cover.holds_on(published))


def _is_young(snapshot: AgreementSnapshot, version: int | None, policy: Policy | None, day: date) -> bool:
    """Tell whether a version is within its months of support (M7); a version without a known release is."""
    if version is None or policy is None or not policy.support_months:
        return True
    first = snapshot.first_published(version)
    return first is None or day < add_months(first, policy.support_months)


def _refusal(
    problem: AgreementProblem, subject: Subject, message: str, remedy: str, rules: tuple[str, ...]
) -> AgreementRefusal:
    return AgreementRefusal(problem=problem, message=message, remedy=remedy, rules=rules, subject=subject)
