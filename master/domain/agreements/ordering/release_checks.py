"""Whether a release may be installed, also where the installed release is unknown or there is no gate.

And the versions that licenses can get free of charge.

For devices the gate decides (`domain/agreements/rights/upgrade_gate.py`), for licenses their maintenance and major
version (`domain/agreements/rights/rights.py`); this module gives both answers one form.
"""

from __future__ import annotations

from datetime import date

from master.domain.agreements.ledger.orders import UpgradeVersion
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ordering.decide_order import Decision, decide
from master.domain.agreements.rights.rights import may_run
from master.domain.agreements.rights.upgrade_gate import GateAnswer, upgrade_gate
from master.domain.catalog.policies import Grants
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject


def check_upgrade(
    snapshot: AgreementSnapshot,
    device: Subject,
    *,
    from_release: ReleaseName | None,
    to_release: ReleaseName,
    day: date,
) -> GateAnswer:
    """Tell whether a device may install a release on a day, from `from_release` or the release that the ledger has."""
    if all(product.gate_release is None for product in snapshot.time.products.values()):
        why = f"no agreement of {snapshot.catalog.title} stands in the way; what its licenses allow, a plan says"
        return GateAnswer(why=why, rules=(), path=(f"install {to_release}",))
    runs = from_release or snapshot.state.holding(device).installed or to_release
    return upgrade_gate(snapshot, device, from_release=runs, to_release=to_release, day=day)


def check_license(snapshot: AgreementSnapshot, license: Subject, to_release: ReleaseName, day: date) -> GateAnswer:
    """Tell whether a license that was bought as a product may run a release on a day (P3, P5)."""
    refusal = may_run(snapshot, license, to_release, day)
    if refusal is None:
        how_long = "for as long as it likes"
        if snapshot.state.holding(license).is_on_trial and (policy := snapshot.policy_granting(license, Grants.USE)):
            how_long = f"until its {policy.title} ends on {snapshot.cover(license, policy.key).ends}"
        why = f"{license} may run {to_release}, {how_long}"
        return GateAnswer(why=why, rules=("P3",), path=(f"install {to_release}",))
    return GateAnswer.refused(refusal, (refusal.remedy,))


def free_upgrades(snapshot: AgreementSnapshot, day: date) -> dict[str, frozenset[int]]:
    """Return the versions that licenses of the estate can get free of charge on a day, by license id (M1)."""
    majors = {release.major for release, published in snapshot.releases.items() if published <= day}
    upgrades: dict[str, frozenset[int]] = {}
    for license_id, facts in snapshot.licenses.items():
        version = snapshot.version(facts)
        newer = [major for major in majors if version is not None and major > version]
        able = (
            version
            for version in newer
            if isinstance(decide(snapshot, UpgradeVersion(licenses=(license_id,), version=version), day), Decision)
        )
        if versions := frozenset(able):
            upgrades[license_id] = versions
    return upgrades
