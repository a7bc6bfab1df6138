"""Devices: registered, upgraded through the gate, with exceptions and feature keys (rules N1, Q1 to Q3, Q5, Q7)."""

from __future__ import annotations

from master.domain.agreements.dates import Term, add_months
from master.domain.agreements.entries import EntryKind, Subject
from master.domain.agreements.gate import upgrade_gate
from master.domain.agreements.orders import AddFeature, AllowBuild, InstallRelease, RegisterDevice
from master.domain.agreements.policies import Begins, SubjectKind, Unit
from master.domain.agreements.problems import AgreementProblem, RefusedError
from master.domain.agreements.workings import NAME_MAX, Workings, refuse
from master.domain.toml_reader import close_to


def register_device(work: Workings, order: RegisterDevice) -> None:
    """Decide a `RegisterDevice`: what comes with it begins with its delivery (N1, Q3)."""
    product = work.product(order.product, SubjectKind.DEVICE)
    subject = Subject.of(SubjectKind.DEVICE, work.name(order.device, "device"))
    if subject in work.book.state.holdings:
        refuse(
            AgreementProblem.ALREADY_THERE,
            f"{subject} is registered already",
            remedy="register it once; another device needs a name of its own",
            rules=product.rules,
            subject=subject,
            field="device",
        )
    if order.delivered_on > work.day or len(order.serial) > NAME_MAX:
        refuse(
            AgreementProblem.MALFORMED,
            f"delivered_on is {order.delivered_on}, after today, {work.day}, or the serial number is too long",
            remedy=f"give the day of its purchase, and a serial number of at most {NAME_MAX} characters",
            rules=product.rules,
            subject=subject,
            field="delivered_on",
        )
    if product.gate_release is not None and not order.release:
        refuse(
            AgreementProblem.MALFORMED,
            f"{product.title} is registered with the release that it runs: what it may install next depends on it",
            remedy=f"give its release, such as {product.gate_release}",
            rules=product.rules,
            subject=subject,
            field="release",
        )
    release = str(work.release(order.release, "release")) if order.release else ""
    details = {
        "product": product.key,
        "delivered_on": str(order.delivered_on),
        "serial": order.serial,
        "release": release,
    }
    reason = f"{product.title} delivered on {order.delivered_on}"
    work.write(EntryKind.DEVICE_REGISTERED, subject, details, reason=reason, rules=product.rules)
    for key in product.policies:
        policy = work.book.time.policies[key]
        if policy.begins is Begins.DELIVERY and policy.included_months:
            term = Term(order.delivered_on, add_months(order.delivered_on, policy.included_months))
            work.add_term(
                subject,
                policy,
                term,
                anchor=term.begins,
                months=policy.included_months,
                how="included",
                offer="",
                reason=f"{policy.title} that comes along: {term}",
            )


def install_release(work: Workings, order: InstallRelease) -> None:
    """Decide an `InstallRelease`: what the gate refuses is not installed (Q1, Q2)."""
    holding, _ = work.held(order.device, "device", SubjectKind.DEVICE)
    release = work.release(order.release, "release")
    if holding.installed is not None:
        answer = upgrade_gate(
            work.book, holding.subject, from_release=holding.installed, to_release=release, day=work.day
        )
        if answer.refusal is not None:
            raise RefusedError(answer.refusal)
    before = f"instead of {holding.installed}" if holding.installed else "first known release"
    work.write(
        EntryKind.RELEASE_INSTALLED, holding.subject, {"release": str(release)}, reason=f"{release} installed, {before}"
    )


def allow_build(work: Workings, order: AllowBuild) -> None:
    """Decide an `AllowBuild`: one build passes without maintenance (Q7)."""
    holding, _ = work.held(order.device, "device", SubjectKind.DEVICE)
    release = work.release(order.release, "release")
    if release in holding.builds:
        work.notes.append(f"{release} is let through for {holding.subject} already")
        return
    reason = f"the vendor lets {release} through as an exception"
    work.write(EntryKind.BUILD_ALLOWED, holding.subject, {"release": str(release)}, reason=reason, rules=("Q7",))


def add_feature(work: Workings, order: AddFeature) -> None:
    """Decide an `AddFeature`: its own key, and software that has it (Q5)."""
    holding, product = work.held(order.device, "device", SubjectKind.DEVICE)
    if order.feature not in product.features:
        refuse(
            AgreementProblem.UNKNOWN_TYPE,
            f"{product.title} has no optional feature {order.feature!r}{close_to(order.feature, product.features)}",
            remedy=f"choose one of {', '.join(product.features) or 'none'}",
            rules=("Q5",),
            subject=holding.subject,
            field="feature",
        )
    if order.feature in holding.features:
        refuse(
            AgreementProblem.ALREADY_THERE,
            f"{holding.subject} has {order.feature} already",
            remedy="keep the key for another device",
            rules=("Q5",),
            subject=holding.subject,
            field="feature",
        )
    needed = product.features[order.feature]
    if needed is not None and (holding.installed is None or holding.installed < needed):
        refuse(
            AgreementProblem.SOFTWARE_TOO_OLD,
            f"{order.feature} needs release {needed}; it has {holding.installed or 'none that is known'}",
            remedy=f"install {needed} or later first",
            rules=("Q5",),
            subject=holding.subject,
            field="feature",
        )
    key = work.unused_key(order.key, rules=("Q5",))
    title = work.book.catalog.types[order.feature].display_name
    details = {"feature": order.feature, "key": key}
    work.write(EntryKind.FEATURE_ADDED, holding.subject, details, reason=f"feature key for {title}", rules=("Q5",))
    listed = work.prices.features if work.prices else None
    each = work.price(listed, order.feature, unit=Unit.MONEY, section="[features]")
    work.charge(
        holding.subject, title, each, unit=Unit.MONEY, why="optional feature, beside any maintenance", rules=("Q5",)
    )
