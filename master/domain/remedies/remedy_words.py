"""The words of a remedy's steps: one sentence for each action, and no words for them anywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from licensemaster.api_enums import RemedyAction
from licensemaster.values.moments import second_text
from master.domain.catalog.catalog import Catalog
from master.domain.seats.refusals.reasons import SeatRef, Step, counted, some


def in_words(ways: Sequence[Sequence[Step]], catalog: Catalog) -> str:
    """Join ways as alternatives, and the steps of each way in a row, as text."""
    return ", or ".join(_row([step_in_words(step, catalog) for step in steps]) for steps in ways)


def step_in_words(step: Step, catalog: Catalog) -> str:
    """Return a step in words that continue a sentence."""
    named = some(step.licenses)
    match step.action:
        case RemedyAction.CORRECT_REQUEST:
            return _correction(step)
        case RemedyAction.ADD_LICENSES:
            version = f" of V{step.version} or newer" if step.version else ""
            return f"bind {counted(step.quantity, f'more {_name(step, catalog)} license')}{version} to {step.device}"
        case RemedyAction.REPLACE_LICENSES:
            return f"replace {named} by V{step.version} licenses"
        case RemedyAction.RELEASE_LICENSES:
            return f"release {named} from {step.device}"
        case RemedyAction.UPGRADE_SOFTWARE:
            return f"upgrade {step.pbx} to {step.version} or newer"
        case RemedyAction.DOWNGRADE_SOFTWARE:
            return f"run V{step.version} on {step.pbx}" if step.pbx else f"run the application at V{step.version}"
        case RemedyAction.ACQUIRE_FIRST:
            return f"acquire {some([_seat(seat, catalog) for seat in step.seats])} first"
        case RemedyAction.RETURN_FIRST:
            return f"return {some(step.seats)} first"
        case RemedyAction.FREE_SEATS:
            seats = counted(step.quantity, f"{_name(step, catalog)} seat")
            return f"wait until {seats} on {step.device} {'comes' if step.quantity == 1 else 'come'} back"
        case RemedyAction.WAIT if step.until is None:
            name = _name(step, catalog)
            return f"wait: {name} seats are granted by themselves as their turn comes; return them to give up"
        case RemedyAction.WAIT if step.license_type:
            name = _name(step, catalog)
            return f"wait until {second_text(step.until or 0.0)}, if no {name} seat is overdrawn until then"
        case RemedyAction.WAIT:
            return (
                f"wait until {second_text(step.until or 0.0)};"
                " `license-master project end-learning` ends it earlier, and may lend twice"
            )
        case RemedyAction.RENEW_AGREEMENT:
            free = [ref for ref in step.licenses if not ref.device]
            return f"buy or renew {step.subject}" + (f" and bind {some(free)} to {step.device}" if free else "")
        case RemedyAction.CHANGE_ALLOCATION:
            return f"change what the allocation rule {step.subject!r} says of {_name(step, catalog)}"
        case RemedyAction.EXPLAIN:
            return "ask `license-master explain`: what would help takes longer to find than a refusal may"
        case RemedyAction.NONE:
            return "the license master knows of nothing that would grant it"


def _correction(step: Step) -> str:
    match step.field:
        case "license_type":
            return f"use one of {', '.join(step.accepted)}"
        case "holder_kind" if not step.accepted:
            return "acquire the seat that it belongs to; this one is debited with it"
        case "holder_kind":
            return f"name one of these kinds of holder: {', '.join(step.accepted)}"
        case "application_version":
            return "name the application's version" + (f", at most V{step.version}" if step.version else "")
        case _:
            return f"name {', '.join(step.accepted)} in the request"


def _seat(seat: SeatRef, catalog: Catalog) -> str:
    kind = seat.kind.name.lower().replace("_", " ")
    return f"{catalog.types[seat.type].display_name} for {kind} {seat.holder}"


def _name(step: Step, catalog: Catalog) -> str:
    return catalog.types[step.license_type].display_name


def _row(steps: Sequence[str]) -> str:
    return f"{', '.join(steps[:-1])} and {steps[-1]}" if len(steps) > 1 else "".join(steps)
