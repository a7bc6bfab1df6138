"""The upgrade gate as somebody asks it who may not know everything: by a device's name, its release known or not.

`gate.py` decides; here a question that cannot be answered becomes a refusal that says what is missing.
"""

from __future__ import annotations

from datetime import date

from master.domain.agreements.book import Book
from master.domain.agreements.entries import Subject
from master.domain.agreements.gate import GateAnswer, upgrade_gate
from master.domain.agreements.policies import SubjectKind
from master.domain.agreements.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.releases import ReleaseName


def check_upgrade(
    book: Book, device: str, *, from_release: ReleaseName | None, to_release: ReleaseName, day: date
) -> GateAnswer:
    """Whether a device may install a release on a day; what it runs is what the ledger says where nothing is given."""
    subject = Subject.of(SubjectKind.DEVICE, device)
    gated = any(one.gate_release is not None for one in book.time.products.values())
    if gated and subject not in book.state.holdings:
        return _unanswered(
            subject,
            AgreementProblem.UNKNOWN_SUBJECT,
            f"there is no device {device} in the ledger, so nobody knows its maintenance",
            remedy="register it first",
            field="server",
        )
    runs = from_release or book.state.holding(subject).installed
    if gated and runs is None:
        return _unanswered(
            subject,
            AgreementProblem.UNKNOWN_RELEASE,
            f"nobody knows which release {device} runs",
            remedy="say from which release it would be upgraded, or record what it has installed",
            field="from_release",
        )
    return upgrade_gate(book, subject, from_release=runs or to_release, to_release=to_release, day=day)


def _unanswered(subject: Subject, problem: AgreementProblem, why: str, *, remedy: str, field: str) -> GateAnswer:
    rules = ("Q1", "Q2")
    refusal = AgreementRefusal(problem=problem, message=why, remedy=remedy, rules=rules, subject=subject, field=field)
    return GateAnswer(allowed=False, why=why, rules=rules, path=(remedy,), refusal=refusal)
