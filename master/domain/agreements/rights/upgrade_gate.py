"""The upgrade gate: whether a device may install a release, asked before it does (rules Q1, Q2, Q6, Q7).

The release and the policy of the gate are the product's (`gate_release`, `gate_policy`). What is installed already
keeps running whatever the gate says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ledger.state import Holding
from master.domain.catalog.policies import Product
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAnswer:
    """Whether a release may be installed on a day, and the path that works."""

    allowed: bool
    why: str
    rules: tuple[str, ...]
    path: tuple[str, ...] = ()
    """What to do, in order; where it is allowed, the one installation."""
    refusal: AgreementRefusal | None = None


def upgrade_gate(
    snapshot: AgreementSnapshot, server: Subject, *, from_release: ReleaseName, to_release: ReleaseName, day: date
) -> GateAnswer:
    """Whether a device may go from one release to another on a day; one that is not registered may not."""
    holding = snapshot.state.holding(server)
    product = snapshot.product(holding)
    install = f"install {to_release}"
    if product is None:
        return _unregistered(server, install)
    if product.gate_release is None or product.gate_policy is None:
        return GateAnswer(allowed=True, why=f"nothing stands in the way of {to_release}", rules=(), path=(install,))
    gate = product.gate_release
    if to_release <= from_release:
        why = f"{to_release} is not newer than {from_release}"
        return GateAnswer(allowed=True, why=why, rules=product.rules, path=(install,))
    if to_release <= gate:
        why = f"maintenance is asked for after {gate} only"
        return GateAnswer(allowed=True, why=why, rules=("Q1",), path=(install,))
    lacks = _lacks(snapshot, holding, product, to_release, day)
    if from_release < gate:
        return _leapfrog(holding, product, from_release, to_release, (f"install {gate}", *lacks, install))
    if not lacks:
        cover = snapshot.cover(server, product.gate_policy)
        ends = cover.end_from(day)
        why = f"the vendor let {to_release} through" if ends is None else f"maintenance runs until {ends}"
        return GateAnswer(allowed=True, why=why, rules=("Q7",) if ends is None else ("Q1",), path=(install,))
    return _unmaintained(snapshot, holding, product, to_release, day, (*lacks, install))


def phone_firmware_gate(snapshot: AgreementSnapshot, server: Subject, release: ReleaseName) -> GateAnswer:
    """Whether the phones of a device may have the firmware of a release: free once the device runs it (Q6)."""
    installed = snapshot.state.holding(server).installed
    install = f"load the firmware of {release}"
    if installed is None:
        return _unregistered(server, install)
    if release <= installed:
        why = f"the server runs {installed}; phones are not bound by maintenance"
        return GateAnswer(allowed=True, why=why, rules=("Q6",), path=(install,))
    path = (f"bring the server to {release}", install)
    why = f"the firmware comes with the server's release, and the server runs {installed}"
    refusal = AgreementRefusal(
        problem=AgreementProblem.SOFTWARE_TOO_OLD,
        message=why,
        remedy=", then ".join(path),
        rules=("Q6",),
        subject=server,
        field="release",
    )
    return GateAnswer(allowed=False, why=why, rules=("Q6",), path=path, refusal=refusal)


def _unregistered(server: Subject, install: str) -> GateAnswer:
    why = f"{server} is not registered with the release that it runs"
    path = ("register it with the day of its delivery and its release", install)
    refusal = AgreementRefusal(
        problem=AgreementProblem.UNKNOWN_SUBJECT,
        message=why,
        remedy=", then ".join(path),
        rules=("Q3",),
        subject=server,
        field="device",
    )
    return GateAnswer(allowed=False, why=why, rules=("Q3",), path=path, refusal=refusal)


def _lacks(
    snapshot: AgreementSnapshot, holding: Holding, product: Product, release: ReleaseName, day: date
) -> tuple[str, ...]:
    """Return what must be bought before a release may be installed, one sentence each; empty for nothing."""
    policy = product.gate_policy or ""
    if release in holding.builds or snapshot.cover(holding.subject, policy).holds_on(day):
        return ()
    return (
        f"buy a maintenance key ({' or '.join(open_offers(snapshot, holding, policy, day)) or 'none is sold today'})",
    )


def open_offers(snapshot: AgreementSnapshot, holding: Holding, policy: str, day: date) -> tuple[str, ...]:
    """The offers of a policy that are sold for a device on a day."""
    delivered = holding.delivered_on
    return tuple(
        offer.key for offer in snapshot.time.offers_of(policy) if delivered is None or offer.is_open(delivered, day)
    )


def _leapfrog(
    holding: Holding, product: Product, start: ReleaseName, to: ReleaseName, path: tuple[str, ...]
) -> GateAnswer:
    gate = product.gate_release
    why = f"a server on {start} cannot leapfrog to {to}: {gate} comes first"
    refusal = AgreementRefusal(
        problem=AgreementProblem.LEAPFROG,
        message=why,
        remedy=", then ".join(path),
        rules=("Q2",),
        subject=holding.subject,
        field="release",
    )
    return GateAnswer(allowed=False, why=why, rules=("Q2",), path=path, refusal=refusal)


def _unmaintained(
    snapshot: AgreementSnapshot, holding: Holding, product: Product, to: ReleaseName, day: date, path: tuple[str, ...]
) -> GateAnswer:
    ends = snapshot.cover(holding.subject, product.gate_policy or "").ends
    ended = f"ended on {ends}" if ends is not None and ends <= day else "was never there"
    why = f"{to} is after {product.gate_release} and needs a valid maintenance key; maintenance {ended}"
    refusal = AgreementRefusal(
        problem=AgreementProblem.MAINTENANCE_NEEDED,
        message=why,
        remedy=f"{', then '.join(path)}; what is installed keeps working without it",
        rules=("Q1", "Q7"),
        subject=holding.subject,
        field="release",
    )
    return GateAnswer(allowed=False, why=why, rules=("Q1", "Q7"), path=path, refusal=refusal)
