"""Whether a standby PBX could take over, and what prevents it: one closed list for checks, takeovers and warnings.

Rules decided here, with no I/O and no clock:

- F1, F2: all pairs depend on the Standby licenses of the license master: at least as many as of the type they match.
- F3: the standby's software is within the version limit of the installation that it joins by taking over; price tiers
  are named where those below them are missing.
- F4: `readiness` judges a configured pair, with exact numbers.
- F6: `pair_problems` needs nothing but the estate, so that every change can be judged before it is made.

Left to others: a takeover itself (`takeover.py`), claims (`claims.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from licensemaster.api_enums import StandbyProblemKind
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Feature, LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.license_refs import LicenseRef
from master.domain.estate.tiers import missing_below_tier
from master.domain.leases.leases import Lease
from master.domain.seats.refusals.explanations import above_limit
from master.domain.seats.refusals.reasons import MOST_NAMED, some
from master.values import Value

TWO_CLAIMS_SHOWN_SECONDS = 86_400.0
"""For how long a pair shows that both PBXs used the seats at once."""


class StandbyProblem(Value, kw_only=True):
    """Something that prevents a takeover, or that should be known before a takeover."""

    kind: StandbyProblemKind
    message: str
    rules: tuple[str, ...] = ()
    installed: int = 0
    needed: int = 0
    licenses: tuple[LicenseRef, ...] = ()
    retry_at: float | None = None
    """When to ask again, UNIX seconds; None where waiting does not help."""

    @property
    def missing(self) -> int:
        """How many licenses or seats are missing."""
        return max(self.needed - self.installed, 0)


class StandbyLease(Value, kw_only=True):
    """What the master knows of the signed standby leases of one pair; times are UNIX seconds."""

    standby_id: int
    primary_id: int
    serial: int = 0
    """The serial of the newest standby lease issued; 0 where none was."""
    issued_at: float = 0.0
    ends_at: float = 0.0
    acknowledged_serial: int = 0
    """The serial of the standby lease that the standby is known to have; 0 where it has none."""
    acknowledged_ends_at: float = 0.0
    two_claims_at: float | None = None
    """When both PBXs were last found to have used the seats at the same time."""
    reported_serial: int = 0
    """The serial of the standby lease for which two claims were reported last."""
    reported_epoch: int = 0
    """The fenced epoch for which two claims were reported last."""


class StandbySwitch(Value):
    """The licenses that the standbys of all pairs depend on (F2)."""

    license_type: str
    """The license type by catalog key; empty where the catalog needs none."""
    installed: int
    needed: int
    on: bool
    licenses: tuple[License, ...]


class PairState(Value, kw_only=True):
    """What the master knows of a pair at one moment."""

    standby_lease: Lease | None
    """The lease of the standby itself."""
    primary_lease: Lease | None
    record: StandbyLease | None
    held: Mapping[str, int]
    """Seats debited for the primary, by license type."""
    covered: Mapping[str, int]
    """Seats that the standby's standby lease covers, by license type."""


class Readiness(Value):
    """A standby pair, with everything that prevents a takeover."""

    standby: Pbx
    primary: Pbx
    state: PairState
    problems: tuple[StandbyProblem, ...]
    carrying: bool
    """Whether the standby carries the primary's seats now."""

    @property
    def ready(self) -> bool:
        """Whether the standby could take over now, with a master and without one."""
        return not any(problem.kind.blocking for problem in self.problems)


def pairs(estate: Estate) -> list[tuple[Pbx, Pbx]]:
    """Return all pairs as (standby, primary), in the order of the standbys' names."""
    standbys = [(pbx, primary) for pbx in estate.pbxs.values() if (primary := primary_of(estate, pbx)) is not None]
    return sorted(standbys, key=lambda pair: pair[0].name)


def primary_of(estate: Estate, pbx: Pbx) -> Pbx | None:
    return estate.pbxs[estate.pbx_ids[pbx.standby_for]] if pbx.standby_for is not None else None


def carrier_of(estate: Estate, lease: Lease | None) -> Pbx | None:
    """Return the standby that has a PBX's lease; None where the PBX has it itself."""
    return estate.pbxs.get(lease.carrier.pbx_id) if lease is not None and lease.carrier is not None else None


def standby_switch(estate: Estate) -> StandbySwitch:
    """Count the Standby licenses on the license master, which all pairs depend on (F1, F2)."""
    license_type = estate.catalog.enabling(Feature.STANDBY)
    if license_type is None or license_type.matches is None:
        return StandbySwitch("", 0, 0, True, ())
    installation = estate.installations[estate.master.device.id]
    return StandbySwitch(
        license_type.key,
        installation.capacity.get(license_type.key, 0),
        max(installation.capacity.get(license_type.matches, 0), 1),
        estate.feature_is_on(installation, license_type),
        installation.of_type(license_type.key),
    )


def pair_problems(estate: Estate, standby: Pbx, primary: Pbx, software: Version) -> tuple[StandbyProblem, ...]:
    """List what prevents a takeover by a standby that runs `software`, as far as the estate decides (F2, F3, E4)."""
    problems = []
    switch = standby_switch(estate)
    if not switch.on:
        problems.append(_licenses_short(estate, switch))
    installation = estate.installation_of(primary)
    if installation.limit is not None and software.major > installation.limit:
        refs = tuple(license.ref for license in installation.limiting_below(software))
        message = (
            f"{above_limit(standby, software, installation)}; run V{installation.limit} on it or replace {some(refs)}"
        )
        problems.append(
            StandbyProblem(
                kind=StandbyProblemKind.VERSION_LIMIT,
                message=message,
                rules=("F3", "B3", "B5"),
                licenses=refs[:MOST_NAMED],
            )
        )
    if (needed := estate.central_software_missing(primary, software)) is not None:
        message = (
            f"{standby.name} runs {software}, but the seats of {primary.name} are those of a pool, which needs PBX"
            f" software {needed} or newer; upgrade {standby.name}"
        )
        problems.append(StandbyProblem(kind=StandbyProblemKind.VERSION_LIMIT, message=message, rules=("A5", "F3")))
    problems += _tiers_not_reached(estate, switch)
    return tuple(problems)


def estate_problems(estate: Estate, software: Mapping[int, Version]) -> list[tuple[Pbx, Pbx, StandbyProblem]]:
    """List what prevents takeovers of all pairs, as far as the estate decides, warnings included (F6).

    `software` is what PBXs say they run, by PBX id; what the project says counts for the others.
    """
    return [
        (standby, primary, problem)
        for standby, primary in pairs(estate)
        for problem in pair_problems(estate, standby, primary, software.get(standby.id, standby.software))
    ]


def readiness(estate: Estate, standby: Pbx, primary: Pbx, state: PairState, time: LeaseTime) -> Readiness:
    """Judge whether a standby could take over its primary now, and list what prevents it (F4)."""
    own, lease = state.standby_lease, state.primary_lease
    software = own.software if own is not None and own.state(time).is_running else standby.software
    problems = list(pair_problems(estate, standby, primary, software))
    if own is None or own.state(time) is not LeaseState.ACTIVE:
        problems.append(_not_connected(standby, own, time.now))
    if lease is None:
        problems.append(never_seen(primary))
    else:
        if lease.carrier is None and lease.state(time).is_running and lease.software != software:
            message = f"{standby.name} runs {software}, {primary.name} runs {lease.software}"
            problems.append(StandbyProblem(kind=StandbyProblemKind.SOFTWARE_DIFFERS, message=message, rules=("F3",)))
    carrier = lease.carrier if lease is not None and lease.state(time).is_running else None
    carrying = carrier is not None and carrier.pbx_id == standby.id
    if carrier is not None:
        message = f"{estate.pbxs[carrier.pbx_id].name} carries the seats of {primary.name}"
        problems.append(StandbyProblem(kind=StandbyProblemKind.CARRYING, message=message, rules=("F5",)))
    if not carrying and any(state.held.values()):
        problems += _coverage(standby, primary, state, time)
    seen = state.record.two_claims_at if state.record is not None else None
    if seen is not None and time.now <= seen + TWO_CLAIMS_SHOWN_SECONDS:
        message = (
            f"{primary.name} and {standby.name} used the same seats at the same time, as was found"
            f" {time.now - seen:.0f} s ago; `license-master events --kind standby.two_claims` has the numbers"
        )
        problems.append(StandbyProblem(kind=StandbyProblemKind.TWO_CLAIMS, message=message, rules=("F5",)))
    return Readiness(standby, primary, state, tuple(sorted(problems, key=lambda problem: problem.kind)), carrying)


def _licenses_short(estate: Estate, switch: StandbySwitch) -> StandbyProblem:
    types = estate.catalog.types
    license_type = types[switch.license_type]
    device = estate.master.device.name
    missing = max(switch.needed - switch.installed, 0)
    matched = types[license_type.matches or ""].display_name
    limit = estate.installations[estate.master.device.id].limit
    of_version = f" of V{limit} or newer" if limit is not None else ""
    return StandbyProblem(
        kind=StandbyProblemKind.LICENSES_SHORT,
        message=(
            f"{license_type.display_name} is off on {device}: {switch.installed} installed for {switch.needed}"
            f" {matched}; bind {missing} more{of_version} to {device}"
        ),
        rules=("F1", "F2"),
        installed=switch.installed,
        needed=switch.needed,
        licenses=tuple(license.ref for license in switch.licenses[:MOST_NAMED]),
    )


def _tiers_not_reached(estate: Estate, switch: StandbySwitch) -> Iterator[StandbyProblem]:
    """Yield a problem for each price tier whose lower tiers have too few licenses installed (E4)."""
    for tier in sorted({license.tier for license in switch.licenses if license.tier is not None}):
        items = [license for license in switch.licenses if license.tier == tier]
        missing = missing_below_tier(estate, items[0], estate.master.device)
        if missing:
            below = tier - missing
            named = ", ".join(str(license.ref) for license in items)
            yield StandbyProblem(
                kind=StandbyProblemKind.TIER_NOT_REACHED,
                message=f"{named} are for use beyond {tier}, but only {below} are installed below them",
                rules=("F3", "E4"),
                installed=below,
                needed=tier,
                licenses=tuple(license.ref for license in items[:MOST_NAMED]),
            )


def _not_connected(standby: Pbx, own: Lease | None, now: float) -> StandbyProblem:
    heard = "was never heard of" if own is None else f"was last heard of {now - own.renewed_at:.0f} s ago"
    return StandbyProblem(
        kind=StandbyProblemKind.NOT_CONNECTED, message=f"{standby.name} {heard}; it is not connected", rules=("F4",)
    )


def never_seen(primary: Pbx) -> StandbyProblem:
    message = f"{primary.name} never opened a lease; there is nothing to carry on"
    return StandbyProblem(kind=StandbyProblemKind.PRIMARY_NEVER_SEEN, message=message, rules=("F4",))


def _coverage(standby: Pbx, primary: Pbx, state: PairState, time: LeaseTime) -> Iterator[StandbyProblem]:
    """Yield what would be missing if the standby took over while no master answers."""
    record, held = state.record, sum(state.held.values())
    if record is None or not record.acknowledged_serial or time.ends_by > record.acknowledged_ends_at:
        message = (
            f"{standby.name} is not known to have a standby lease for {primary.name} that is in force;"
            " without a master it could carry nothing"
        )
        kind = StandbyProblemKind.NO_STANDBY_LEASE
        yield StandbyProblem(kind=kind, message=message, rules=("F4", "F5"), needed=held)
        return
    short = sum(max(seats - state.covered.get(key, 0), 0) for key, seats in state.held.items())
    if short:
        message = (
            f"the standby lease of {standby.name} covers {held - short} of the {held} seats of {primary.name};"
            " its next renewals bring a newer one"
        )
        kind, covered = StandbyProblemKind.STANDBY_LEASE_OLD, held - short
        yield StandbyProblem(kind=kind, message=message, rules=("F4", "F5"), installed=covered, needed=held)
