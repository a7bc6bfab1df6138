"""The upgrade gate: whether a device may install a release, asked before the installation (rules Q1, Q2, Q6, Q7).

The product says the gate's release and policy (`gate_release`, `gate_policy`). What is installed already keeps
running, whatever the gate answers.
"""

from __future__ import annotations

from datetime import date

from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ledger.snapshot import AgreementSnapshot
from master.domain.agreements.ledger.state import Holding
from master.domain.catalog.policies import Product
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject
from master.values import Value


class GateAnswer(Value, kw_only=True):
    """Whether a release may be installed on a day, and the steps by which it can be."""

    why: str
    rules: tuple[str, ...]
    path: tuple[str, ...]
    """The steps in order; where the installation is allowed, only the installation."""
    refusal: AgreementRefusal | None = None
    """The refusal; None where the installation is allowed."""

    @property
    def allowed(self) -> bool:
        return self.refusal is None

    @classmethod
    def refused(cls, refusal: AgreementRefusal, path: tuple[str, ...]) -> GateAnswer:
        """Return an answer that refuses, with the steps after which the release could be installed."""
        return cls(why=refusal.message, rules=refusal.rules, path=path, refusal=refusal)


def upgrade_gate(
    snapshot: AgreementSnapshot, server: Subject, *, from_release: ReleaseName, to_release: ReleaseName, day: date
) -> GateAnswer:
    """Tell whether a device may go from one release to another on a day; a device that is not registered may not."""
    holding = snapshot.state.holding(server)
    product = snapshot.product(holding)
    install = f"install {to_release}"
    if product is None:
        return _unregistered(server, install)
    if product.gate_release is None or product.gate_policy is None:
        return GateAnswer(why=f"nothing stands in the way of {to_release}", rules=(), path=(install,))
    gate = product.gate_release
    if to_release <= from_release:
        why = f"{to_release} is not newer than {from_release}"
        return GateAnswer(why=why, rules=product.rules, path=(install,))
    if to_release <= gate:
        why = f"maintenance is asked for after {gate} only"
        return GateAnswer(why=why, rules=("Q1",), path=(install,))
    lacks = _lacks(snapshot, holding, product, to_release, day)
    if from_release < gate:
        why = f"a server on {from_release} cannot leapfrog to {to_release}: {gate} comes first"
        return _refused(AgreementProblem.LEAPFROG, server, why, ("Q2",), (f"install {gate}", *lacks, install))
    cover = snapshot.cover(server, product.gate_policy)
    if not lacks:
        ends = cover.end_from(day)
        why = f"the vendor let {to_release} through" if ends is None else f"maintenance runs until {ends}"
        return GateAnswer(why=why, rules=("Q7",) if ends is None else ("Q1",), path=(install,))
    ended = f"ended on {cover.ends}" if cover.ends is not None and cover.ends <= day else "was never there"
    why = f"{to_release} is after {gate} and needs a valid maintenance key; maintenance {ended}"
    remedy = f"{', then '.join((*lacks, install))}; what is installed keeps working without it"
    rules, path = ("Q1", "Q7"), (*lacks, install)
    return _refused(AgreementProblem.MAINTENANCE_NEEDED, server, why, rules, path, remedy=remedy)


def phone_firmware_gate(snapshot: AgreementSnapshot, server: Subject, release: ReleaseName) -> GateAnswer:
    """Tell whether a device's phones may load the firmware of a release: free once the device runs the release (Q6)."""
    installed = snapshot.state.holding(server).installed
    install = f"load the firmware of {release}"
    if installed is None:
        return _unregistered(server, install)
    if release <= installed:
        why = f"the server runs {installed}; phones are not bound by maintenance"
        return GateAnswer(why=why, rules=("Q6",), path=(install,))
    path = (f"bring the server to {release}", install)
    why = f"the firmware comes with the server's release, and the server runs {installed}"
    return _refused(AgreementProblem.SOFTWARE_TOO_OLD, server, why, ("Q6",), path)


def _unregistered(server: Subject, install: str) -> GateAnswer:
    why = f"{server} is not registered with the release that it runs"
    path = ("register it with the day of its delivery and its release", install)
    return _refused(AgreementProblem.UNKNOWN_SUBJECT, server, why, ("Q3",), path)


def _refused(
    problem: AgreementProblem,
    server: Subject,
    why: str,
    rules: tuple[str, ...],
    path: tuple[str, ...],
    *,
    remedy: str = "",
) -> GateAnswer:
    refusal = AgreementRefusal(
        problem=problem,
        message=why,
        remedy=remedy or ", then ".join(path),
        rules=rules,
        subject=server,
        field="device" if problem is AgreementProblem.UNKNOWN_SUBJECT else "release",
    )
    return GateAnswer.refused(refusal, path)


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
    """Return the offers of a policy that are sold for a device on a day."""
    delivered = holding.delivered_on
    return tuple(
        offer.key for offer in snapshot.time.offers_of(policy) if delivered is None or offer.is_open(delivered, day)
    )
