"""Reconciles what PBXs hold when their device becomes another kind of device, or they move to another one (rules D1,
D2).

A Port seat on a virtual machine has an IPVA seat beside it, and none elsewhere: both or neither. A project file that
changes the platform under seats that are held debits or credits the others with it, or is refused with what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from licensemaster.api_enums import RemedyAction
from licensemaster.values.toml_lines import FieldPath
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.project import ProjectInvalidError, ProjectSpec, Violation
from master.domain.leases.leases import Lease
from master.domain.leases.standby import carrier_of
from master.domain.remedies.remedy_words import step_in_words
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.outcomes import CompanionDecisions
from master.domain.seats.refusals.reasons import RefusalReason, Step
from master.service.batch.prefetch import Prefetch, fill_working_set, need_for_types
from master.store.backends.database import Tx
from master.store.statements.claims import claims_of
from master.store.statements.seats import who_hold, write_working_set


def record_platforms(
    tx: Tx, before: Estate, after: Estate, spec: ProjectSpec, leases: Mapping[int, Lease], time: LeaseTime
) -> tuple[str, ...]:
    """Reconcile the seats of every PBX whose device has changed; return warnings for the operator.

    `spec` is what the project was written from, in this transaction.
    Raises ProjectInvalidError if seats would lack the companion seats that the device requires.
    """
    warnings, violations, eligibilities = list[str](), list[Violation](), EligibilityCache(after)
    moved = elsewhere(before, after)
    holding = who_hold(tx, [pbx.id for _, pbx in moved])
    for earlier, pbx in moved:
        if pbx.id not in holding:
            continue
        lease = leases.get(pbx.id)
        runs = lease.software if lease is not None and lease.state(time).is_running else pbx.software
        decided = _reconcile(tx, eligibilities, pbx, lease, runs, time)
        violations += _missing(after, pbx, earlier, decided, spec, runs)
        if decided.before != decided.after:
            warnings.append(
                f"{pbx.name} runs on {pbx.device.name} ({pbx.device.platform}) now: {decided.after} companion seats are"
                f" debited beside its {decided.seats} seats, {decided.before} were before (rule D1)"
            )
    if violations:
        raise ProjectInvalidError(violations)
    return tuple(warnings)


def elsewhere(before: Estate, after: Estate) -> list[tuple[Pbx, Pbx]]:
    """Return the PBXs whose device has changed, as they were and as they are."""
    both = ((before.pbxs[pbx_id], pbx) for pbx_id, pbx in after.pbxs.items() if pbx_id in before.pbxs)
    return [(earlier, pbx) for earlier, pbx in both if _device_of(earlier) != _device_of(pbx)]


def _device_of(pbx: Pbx) -> tuple[int, str]:
    return pbx.device.id, pbx.device.platform


def _reconcile(
    tx: Tx, eligibilities: EligibilityCache, pbx: Pbx, lease: Lease | None, software: Version, time: LeaseTime
) -> CompanionDecisions:
    needs = Prefetch(time.now, whole_pbxs={pbx.id})
    need_for_types(needs, eligibilities, pbx, eligibilities.estate.catalog.types)
    wide, claims = eligibilities.estate.catalog.pbx_wide_types, claims_of(tx, [pbx.id])
    working_set = fill_working_set(tx, needs, wide, claims)
    decider = Decider(eligibilities, working_set, pbx, software, time, carrier=carrier_of(eligibilities.estate, lease))
    decided = decider.decide_companions()
    if not decided.refused:
        write_working_set(tx, working_set, now=time.now)
    return decided


def _missing(
    estate: Estate, pbx: Pbx, earlier: Pbx, decided: CompanionDecisions, spec: ProjectSpec, software: Version
) -> Iterator[Violation]:
    counted = Counter((refusal.reason, refusal.license_type) for refusal in decided.refused)
    for (reason, key), missing in counted.items():
        refusal = next(
            refused for refused in decided.refused if (refused.reason, refused.license_type) == (reason, key)
        )
        bind = ""
        if reason is RefusalReason.COMPANION_EXHAUSTED:
            step = Step(
                action=RemedyAction.ADD_LICENSES,
                license_type=key,
                quantity=missing,
                device=pbx.device.name,
                version=str(software.major),
            )
            bind = f"{step_in_words(step, estate.catalog)}, or "
        yield Violation(
            _path(pbx, earlier, spec),
            f"{pbx.name} holds {decided.seats} seats that need others beside them on {pbx.device.name}"
            f" ({pbx.device.platform}), and {missing} would have none (rules D1, D2): {refusal.message};"
            f" {bind}have {missing} seats returned first",
        )


def _path(pbx: Pbx, earlier: Pbx, spec: ProjectSpec) -> FieldPath:
    if earlier.device.id != pbx.device.id:
        return "pbxs", next(index for index, pbx_spec in enumerate(spec.pbxs) if pbx_spec.name == pbx.name), "device"
    return (
        "devices",
        next(index for index, device in enumerate(spec.devices) if device.name == pbx.device.name),
        "platform",
    )
