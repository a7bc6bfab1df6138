"""Steps that may answer a refusal, one list for each reason. Whether they do is found by trying (`trial.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from licensemaster.api_enums import RemedyAction
from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.versions import Version
from master.domain.estate.installations import License
from master.domain.estate.license_refs import LicenseRef
from master.domain.licenses import moves
from master.domain.remedies.trial import Case, Trial, added_license, lowest_version, over
from master.domain.seats.refusals.agreed_uses import ended_use
from master.domain.seats.refusals.reasons import Refusal, RefusalReason, SeatRef, Step
from master.values import Value, replace

Steps = tuple[Step, ...]
Named = TypeVar("Named")


def kind_of(refusal: Refusal) -> tuple[object, ...]:
    """Return a key that is equal for refusals which the same steps answer."""
    lacked = tuple(seat.type for seat in refusal.lacks)
    short = refusal.short.license_type if refusal.short is not None else ""
    what = refusal.reason, refusal.license_type, refusal.device, refusal.pool_id, refusal.allocation_rule
    return *what, lacked, short, refusal.accepted


def joined(steps: Steps, *more: Step) -> Steps:
    """Add more steps; two of a kind become one, and licenses that are released are not replaced."""
    kept_steps = list(steps)
    for step in more:
        if step.action is RemedyAction.RELEASE_LICENSES:
            kept_steps = [kept for kept in (_without(each, step.licenses) for each in kept_steps) if kept is not None]
        for index, other in enumerate(kept_steps):
            if _same(other, step):
                kept_steps[index] = _both(other, step)
                break
        else:
            kept_steps.append(step)
    return tuple(kept_steps)


def _without(step: Step, released: Sequence[LicenseRef]) -> Step | None:
    if step.action is not RemedyAction.REPLACE_LICENSES:
        return step
    left = tuple(ref for ref in step.licenses if ref not in released)
    return replace(step, licenses=left) if left else None


def _same(step: Step, other: Step) -> bool:
    if step.action is not other.action or step.pbx != other.pbx:
        return False
    if step.action in (RemedyAction.ADD_LICENSES, RemedyAction.FREE_SEATS):
        return (step.license_type, step.device) == (other.license_type, other.device)
    return step.device == other.device and step.subject == other.subject


def _both(step: Step, other: Step) -> Step:
    return replace(
        step,
        quantity=step.quantity + other.quantity,
        version=max(step.version, other.version, key=lambda text: Version.parse(text) if text else Version(0)),
        licenses=tuple(dict.fromkeys((*step.licenses, *other.licenses))),
        seats=tuple(dict.fromkeys((*step.seats, *other.seats))),
    )


# --- What may answer each reason --------------------------------------------------------------------------------------


def answers(case: Case, steps: Steps, trial: Trial) -> Iterator[Steps]:
    """Yield the steps with those added that may answer the first refusal left, and all refusals like it."""
    first = trial.refused[0]
    alike = [refusal for refusal in trial.refused if kind_of(refusal) == kind_of(first)]
    if first.reason is RefusalReason.STILL_REQUIRED:
        yield joined(steps, _returned(_all(refusal.seats for refusal in alike)))
        alike = [refusal.short for refusal in alike if refusal.short is not None]
    if alike:
        yield from _Answering(case, steps, trial, alike).all()


class _Answering(Value):
    """The search for steps that may turn refusals of one kind into grants."""

    case: Case
    steps: Steps
    trial: Trial
    alike: Sequence[Refusal]

    def all(self) -> Iterator[Steps]:
        """Yield the ways to go on, those first that operators would think of first."""
        first, takes = self.alike[0], self.trial.estate.catalog.types[self.alike[0].license_type]
        newer = takes.exempt_from_software
        if newer is not None and self.trial.software < newer:  # G1: nobody is told to buy one
            yield from self._upgrade(newer)
            yield from self._free(takes, first)
            return
        match first.reason:
            case RefusalReason.SOFTWARE_TOO_OLD if first.software is not None:
                yield from self._upgrade(first.software)
            case RefusalReason.MODEL_EXCLUDED:
                yield from self._release(first.device, self._named(first.licenses))
            case RefusalReason.VERSION_LIMIT:
                yield from self._lift_limit(takes, first)
            case RefusalReason.APPLICATION_VERSION:
                yield from self._fit_application(takes, first)
            case RefusalReason.FEATURE_OFF:
                yield from self._add(takes, first, max(first.wanted - first.capacity, 1))
            case RefusalReason.REQUIREMENT_MISSING:
                for index in range(len(first.lacks)):
                    seats = tuple(dict.fromkeys(refusal.lacks[index] for refusal in self.alike))
                    key = seats[0].type
                    yield joined(self.steps, Step(action=RemedyAction.ACQUIRE_FIRST, license_type=key, seats=seats))
            case RefusalReason.REVOKED | RefusalReason.ONE_PER_PBX:
                yield joined(self.steps, _returned(_all(refusal.seats for refusal in self.alike)))
            case RefusalReason.LEARNING if self.trial.estate.learning is not None:
                until = self.trial.estate.learning.until
                yield joined(self.steps, Step(action=RemedyAction.WAIT, until=until))
            case (
                RefusalReason.LOCAL_LICENSES_ONLY
                | RefusalReason.NONE_INSTALLED
                | RefusalReason.POOL_EXHAUSTED
                | RefusalReason.COMPANION_EXHAUSTED
            ):
                yield from self._more(takes, first)
                if first.overdraft is not None and first.overdraft.allowed_at is not None:
                    until = first.overdraft.allowed_at
                    yield joined(self.steps, Step(action=RemedyAction.WAIT, license_type=takes.key, until=until))
            case RefusalReason.RESERVED_FOR_OTHERS:
                yield from self._more(takes, first)
                yield from self._change_rule(first)
            case RefusalReason.ACCESS_DENIED | RefusalReason.MAXIMUM_REACHED:
                yield from self._change_rule(first)
            case _:
                return

    # --- Licenses are short ---------------------------------------------------------------------------------------

    def _more(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        license = ended_use(self.trial.estate, takes.key, self.case.time.now)
        if license is not None and license.agreed is not None:
            step = Step(
                action=RemedyAction.RENEW_AGREEMENT,
                license_type=takes.key,
                device=first.device,
                subject=str(license.agreed.subject),
                licenses=(license.ref,),
            )
            if step not in self.steps:
                yield joined(self.steps, step)
        yield from self._add(takes, first, len(self.alike))
        yield from self._free(takes, first)
        if first.reason is RefusalReason.LOCAL_LICENSES_ONLY:  # A3: with none of its own it draws on the pool
            yield from self._release(first.device, self.trial.estate.installation_on(first.device).making_local)

    def _add(self, takes: LicenseType, first: Refusal, quantity: int) -> Iterator[Steps]:
        actions = {step.action for step in self.steps}
        if RemedyAction.FREE_SEATS in actions and RemedyAction.RELEASE_LICENSES not in actions:
            return  # whoever waits need not buy as well
        devices = [first.device, *(source.device.name for source in self.trial.estate.sources(self.case.pbx, takes))]
        for device in dict.fromkeys(devices):
            key = self.trial.estate.pbx_on[device].device.id, takes.key
            missing = quantity
            if first.reason is not RefusalReason.FEATURE_OFF and key in self.trial.estate.pool_ids:
                missing += over(self.trial, device, takes.key)
            version = lowest_version(self.trial, self.case, takes.key, device)
            step = Step(
                action=RemedyAction.ADD_LICENSES,
                license_type=takes.key,
                quantity=missing,
                device=device,
                version=str(version or ""),
            )
            more = joined(self.steps, step)
            stands_for = replace(added_license(self.case.estate, step), device=None)
            target = self.trial.estate.pbx_on[device].device
            if moves.bind_refused(self.trial.estate, stands_for, target) is None:
                yield more
                return

    def _free(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        if first.pool_id is None or first.pool_id not in self.case.estate.pool_devices:
            return
        if any(step.action is RemedyAction.ADD_LICENSES for step in self.steps):
            return  # whoever buys need not wait as well
        device = self.case.estate.pool_devices[first.pool_id].name
        quantity = len(self.alike) + over(self.trial, device, takes.key)
        waited_for = sum(
            step.quantity
            for step in self.steps
            if step.action is RemedyAction.FREE_SEATS and (step.device, step.license_type) == (device, takes.key)
        )
        if waited_for + quantity <= self.trial.pool_after(device, takes.key).used:
            step = Step(action=RemedyAction.FREE_SEATS, license_type=takes.key, quantity=quantity, device=device)
            yield joined(self.steps, step)

    def _change_rule(self, first: Refusal) -> Iterator[Steps]:
        step = Step(
            action=RemedyAction.CHANGE_ALLOCATION, license_type=first.license_type, subject=first.allocation_rule
        )
        if step not in self.steps:
            yield (*self.steps, step)

    def _release(self, device: str, items: Sequence[License]) -> Iterator[Steps]:
        """Yield the release of licenses, together with freeing the seats that would be left without a license (L5)."""
        software = {self.case.pbx.id: self.trial.software}
        estate = self.trial.estate
        if not items or any(license.id.startswith("+") for license in items):
            return
        for license in items:
            if license.release is None and moves.release_refused(estate, license, software=software) is not None:
                return
        free: list[Step] = []
        for key in dict.fromkeys(license.type.key for license in items):
            leaves = sum(license.quantity for license in items if license.type.key == key)
            pool = self.trial.pool_before(device, key)
            if (seats := pool.used - pool.capacity + leaves) > 0:
                free.append(Step(action=RemedyAction.FREE_SEATS, license_type=key, quantity=seats, device=device))
        step = Step(action=RemedyAction.RELEASE_LICENSES, device=device, licenses=self._refs(items))
        steps = joined(self.steps, step, *free)
        if steps != self.steps:
            yield steps

    # --- Versions -------------------------------------------------------------------------------------------------

    def _upgrade(self, version: Version) -> Iterator[Steps]:
        if not any(step.action is RemedyAction.DOWNGRADE_SOFTWARE and step.pbx for step in self.steps):
            step = Step(action=RemedyAction.UPGRADE_SOFTWARE, pbx=self.case.pbx.name, version=str(version))
            yield joined(self.steps, step)

    def _lift_limit(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        """Yield newer licenses in place of all that are too old, or their release, or older software (B5, B6)."""
        major = self.trial.software.major
        installation = self.trial.estate.installation_on(first.device)
        low = installation.limiting_below(self.trial.software)
        raised = tuple(
            replace(step, version=str(major)) if _is_low(step, first.device, major) else step for step in self.steps
        )
        leaving = [license for license in low if license.release is not None and license.type.releasable]
        staying = [license for license in low if license not in leaving and not license.id.startswith("+")]
        gone = Step(action=RemedyAction.RELEASE_LICENSES, device=first.device, licenses=self._refs(leaving))
        newer = self._newer(takes, first, staying, major)
        yield joined(raised, *(step for step in (newer, gone) if step.licenses))
        if not any(step.pbx for step in self.steps) and installation.limit is not None:
            oldest = Version(installation.limit)
            if takes.minimum_software is not None and takes.minimum_software.major == oldest.major:
                oldest = max(oldest, takes.minimum_software)
            older = Step(action=RemedyAction.DOWNGRADE_SOFTWARE, pbx=self.case.pbx.name, version=str(oldest))
            yield joined(self.steps, older)
        yield from self._release(first.device, low)

    def _fit_application(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        """Yield the application's version to be named, or one that its licenses allow, or newer licenses (B8)."""
        installation = self.trial.estate.installation_on(first.device)
        limit = installation.application_limit(takes.key)
        asked = [want.application for want in self.case.wants if want.type == takes.key]
        if any(_is_of_application(step) for step in self.steps):
            return
        if not all(asked):
            step = Step(
                action=RemedyAction.CORRECT_REQUEST,
                license_type=takes.key,
                field="application_version",
                version=str(limit or ""),
            )
            yield joined(self.steps, step)
            return
        if limit is not None:
            older = Step(action=RemedyAction.DOWNGRADE_SOFTWARE, license_type=takes.key, version=str(limit))
            yield joined(self.steps, older)
        newest = max(version.major for version in asked if version is not None)
        low = [license for license in installation.of_type(takes.key) if license.version and license.version < newest]
        yield joined(self.steps, self._newer(takes, first, low, newest))

    def _newer(self, takes: LicenseType, first: Refusal, items: Iterable[License], version: int) -> Step:
        return Step(
            action=RemedyAction.REPLACE_LICENSES,
            device=first.device,
            licenses=self._refs(items),
            license_type=takes.key,
            version=str(version),
        )

    # --- The estate as the steps leave it -------------------------------------------------------------------------

    def _named(self, refs: Iterable[LicenseRef]) -> list[License]:
        ids = {ref.id for ref in refs}
        return [license for license in self.trial.estate.licenses if license.id in ids]

    def _refs(self, items: Iterable[License]) -> tuple[LicenseRef, ...]:
        """Name licenses as the request found them: a license that a step replaced already keeps its name."""
        before: Mapping[str, License] = {license.id: license for license in self.case.estate.licenses}
        return tuple(before[license.id].ref for license in items)


def _returned(seats: tuple[SeatRef, ...]) -> Step:
    return Step(action=RemedyAction.RETURN_FIRST, license_type=seats[0].type, seats=seats)


def _is_of_application(step: Step) -> bool:
    if step.action is RemedyAction.DOWNGRADE_SOFTWARE:
        return not step.pbx
    return step.field == "application_version"


def _is_low(step: Step, device: str, major: int) -> bool:
    return (
        step.action is RemedyAction.ADD_LICENSES
        and step.device == device
        and bool(step.version)
        and int(step.version) < major
    )


def _all(many: Iterable[Iterable[Named]]) -> tuple[Named, ...]:
    return tuple(dict.fromkeys(named for some in many for named in some))
