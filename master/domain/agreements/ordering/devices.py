"""Decisions on devices: registration, releases through the gate, exceptions, features (N1, Q1 to Q3, Q5, Q7)."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from licensemaster import values
from licensemaster.values import BadValueError
from licensemaster.values.similar import closest
from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.orders import AddFeature, AllowBuild, CorrectDevice, InstallRelease, RegisterDevice
from master.domain.agreements.ledger.pricing import ExactLine
from master.domain.agreements.ledger.problems import AgreementProblem, RefusedError
from master.domain.agreements.ledger.serials import serial_form
from master.domain.agreements.ordering.order_draft import OrderDraft, malformed, refuse
from master.domain.agreements.rights.rights import has_feature
from master.domain.agreements.rights.upgrade_gate import upgrade_gate
from master.domain.catalog.policies import Begins, Product, SubjectKind, Unit
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject


def register_device(draft: OrderDraft, order: RegisterDevice) -> None:
    """Decide a `RegisterDevice`: the terms that come with a device begin with its delivery (N1, Q3)."""
    product = draft.product(order.product, SubjectKind.DEVICE)
    subject = Subject.of(SubjectKind.DEVICE, draft.name(order.device, "device"))
    if subject in draft.snapshot.state.holdings:
        message = f"{subject} is registered already"
        remedy = "register it once; what is wrong about it is corrected; another device needs a name of its own"
        refuse(
            AgreementProblem.ALREADY_THERE, message, remedy=remedy, rules=product.rules, subject=subject, field="device"
        )
    _check_days(draft, subject, product, delivered_on=order.delivered_on, shipped_on=order.shipped_on)
    serial = _unused_serial(draft, subject, product, order.serial)
    if product.gate_release is not None and not order.release:
        message = f"{product.title} is registered with the release that it runs: what it may install next depends on it"
        remedy = f"give its release, such as {product.gate_release}"
        malformed("release", message, remedy=remedy, rules=product.rules, subject=subject)
    release = str(draft.release(order.release, "release")) if order.release else ""
    details = {
        "product": product.key,
        "delivered_on": str(order.delivered_on),
        "shipped_on": str(order.shipped_on or ""),
        "serial": serial,
        "release": release,
    }
    reason = f"{product.title} delivered on {order.delivered_on}"
    draft.write(EntryKind.DEVICE_REGISTERED, subject, details, reason=reason, rules=product.rules)
    for key in product.policies:
        policy = draft.snapshot.time.policies[key]
        if policy.begins is Begins.DELIVERY and policy.included_months:
            draft.include(subject, policy, order.shipped_on or order.delivered_on)


def correct_device(draft: OrderDraft, order: CorrectDevice) -> None:
    """Decide a `CorrectDevice`: set the days and the serial number that should have been registered (N1, Q3)."""
    holding, product = draft.held(order.device, "device", SubjectKind.DEVICE)
    delivered_on = order.delivered_on or holding.delivered_on
    assert delivered_on is not None
    shipped_on = order.shipped_on or holding.shipped_on
    _check_days(draft, holding.subject, product, delivered_on=delivered_on, shipped_on=shipped_on)
    serial = _unused_serial(draft, holding.subject, product, order.serial) if order.serial else holding.serial
    before = (holding.delivered_on, holding.shipped_on, holding.serial)
    if (delivered_on, shipped_on, serial) == before:
        draft.notes.append(f"{holding.subject} is registered so already")
        return
    details = {"delivered_on": str(delivered_on), "shipped_on": str(shipped_on or ""), "serial": serial}
    was = f"{holding.delivered_on}, serial number {holding.serial or '(none)'}"
    reason = f"corrected: delivered on {delivered_on}, serial number {serial}; it said {was}"
    draft.write(EntryKind.DEVICE_CORRECTED, holding.subject, details, reason=reason, rules=product.rules)
    draft.take_note()
    for cover in draft.snapshot.state.holding(holding.subject).covers.values():
        rows = sorted(cover.terms, key=lambda entry: entry.term)
        for term, other in pairwise(rows):
            if term.term.ends > other.term.begins:
                refuse(
                    AgreementProblem.LATER_ORDER,
                    f"with these days {term.term} of {holding.subject} would reach into {other.term}, which was bought",
                    remedy=f"reverse order {other.entry} first, and order it again afterwards",
                    rules=product.rules,
                    subject=holding.subject,
                    field="delivered_on",
                )


def _check_days(
    draft: OrderDraft, subject: Subject, product: Product, *, delivered_on: date, shipped_on: date | None
) -> None:
    for field, day in (("delivered_on", delivered_on), ("shipped_on", shipped_on)):
        if day is not None and day > draft.day:
            message = f"{field} is {day}, after today, {draft.day}"
            malformed(field, message, remedy="give the day on which it happened", rules=product.rules, subject=subject)


def _unused_serial(draft: OrderDraft, subject: Subject, product: Product, given: str) -> str:
    """Return the serial number; refuse one of another registered device, as it identifies the device (N1, N2, Q3)."""
    try:
        serial = values.serial(given)
    except BadValueError as error:
        message = f"the serial number of {subject} is missing" if not given.strip() else str(error)
        remedy = "give the serial number of its label: warranty and maintenance belong to it, whatever it is called"
        malformed("serial", message, remedy=remedy, rules=product.rules, subject=subject)
    known = draft.snapshot.state.serials.get(serial_form(serial))
    if known is not None and known != subject:
        refuse(
            AgreementProblem.ALREADY_THERE,
            f"the serial number {serial} is that of {known}, registered as delivered on"
            f" {draft.snapshot.state.holding(known).delivered_on}",
            remedy=f"go on with {known}; where its registration was a slip, reverse it first",
            rules=product.rules,
            subject=known,
            field="serial",
        )
    return serial


def install_release(draft: OrderDraft, order: InstallRelease) -> None:
    """Decide an `InstallRelease`: a release that the upgrade gate refuses is refused (Q1, Q2)."""
    holding, _ = draft.held(order.device, "device", SubjectKind.DEVICE)
    release = draft.release(order.release, "release")
    if holding.installed is not None:
        answer = upgrade_gate(
            draft.snapshot, holding.subject, from_release=holding.installed, to_release=release, day=draft.day
        )
        if answer.refusal is not None:
            raise RefusedError(answer.refusal)
    before = f"instead of {holding.installed}" if holding.installed else "first known release"
    draft.write(
        EntryKind.RELEASE_INSTALLED, holding.subject, {"release": str(release)}, reason=f"{release} installed, {before}"
    )


def allow_build(draft: OrderDraft, order: AllowBuild) -> None:
    """Decide an `AllowBuild`: the vendor lets a device install one build without maintenance (Q7)."""
    holding, _ = draft.held(order.device, "device", SubjectKind.DEVICE)
    release = draft.release(order.release, "release", read=ReleaseName.exact)
    if release in holding.builds:
        draft.notes.append(f"{release} is let through for {holding.subject} already")
        return
    reason = f"the vendor lets {release} through as an exception"
    draft.write(EntryKind.BUILD_ALLOWED, holding.subject, {"release": str(release)}, reason=reason, rules=("Q7",))


def add_feature(draft: OrderDraft, order: AddFeature) -> None:
    """Decide an `AddFeature`: a feature needs its own key, and an installed release that has the feature (Q5)."""
    holding, product = draft.held(order.device, "device", SubjectKind.DEVICE)
    if order.feature not in product.features:
        refuse(
            AgreementProblem.UNKNOWN_TYPE,
            f"{product.title} has no optional feature {order.feature!r}{closest(order.feature, product.features)}",
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
    if not has_feature(product, order.feature, holding.installed):
        needed = product.features[order.feature]
        refuse(
            AgreementProblem.SOFTWARE_TOO_OLD,
            f"{order.feature} needs release {needed}; it has {holding.installed or 'none that is known'}",
            remedy=f"install {needed} or later first",
            rules=("Q5",),
            subject=holding.subject,
            field="feature",
        )
    key = draft.unused_key(order.key, rules=("Q5",))
    title = draft.snapshot.catalog.types[order.feature].display_name
    details = {"feature": order.feature, "key": key}
    draft.write(EntryKind.FEATURE_ADDED, holding.subject, details, reason=f"feature key for {title}", rules=("Q5",))
    each = draft.price("features", order.feature)
    why = "optional feature, beside any maintenance"
    draft.charge(ExactLine(subject=holding.subject, what=title, each=each, paid_in=Unit.MONEY, why=why, rules=("Q5",)))
