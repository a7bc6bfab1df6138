"""Totals of a whole call: refusals for want of licenses name how many seats of the type the call asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from licensemaster.api_enums import Basis
from master.domain.seats.refusals.reasons import TOO_FEW, Refusal, RefusalReason
from master.domain.seats.seats import Granted, Want
from master.values import replace


def with_totals(wants: Sequence[Want], outcomes: list[Granted | Refusal]) -> list[Granted | Refusal]:
    """Name in refusals for want of licenses how many new seats the whole call needed: one explanation for all alike."""
    if Refusal not in map(type, outcomes):
        return outcomes
    short = {
        index: outcome
        for index, outcome in enumerate(outcomes)
        if type(outcome) is Refusal and outcome.reason in TOO_FEW
    }
    if not short:
        return outcomes
    new = Counter(
        want.type for want, outcome in zip(wants, outcomes, strict=True)
        if isinstance(outcome, Refusal) or (outcome.basis is Basis.DEBITED and not outcome.already_held)
    )  # fmt: skip
    worded: dict[tuple[RefusalReason, str, str, int], Refusal] = {}
    for index, refusal in short.items():
        group = (refusal.reason, refusal.license_type, wants[index].type, refusal.pool_id or 0)
        if group not in worded:
            worded[group] = replace(refusal, wanted=new[wants[index].type])
        outcomes[index] = worded[group]
    return outcomes
