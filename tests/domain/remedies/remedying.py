"""A project, who holds what, and a call, decided in the domain alone: refusals with their remedies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from licensemaster.api_enums import HolderKind
from master.domain.catalog.versions import Version
from master.domain.catalog.words import PbxRole
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.estate.installations import Device, License
from master.domain.estate.lease_time import LeaseTime
from master.domain.remedies.remedies import Effort, with_remedies
from master.domain.remedies.trial import Case
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.outcomes import Outcome, ReturnOutcome
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seat_working_set import PoolScore, SeatWorkingSet
from master.domain.seats.seats import SeatKey, Want
from master.values import replace
from tests.domain.catalogs import INNOVAPHONE

PACE = LeasePace(60, 600, 20)


def want(license_type: str, holder: str, kind: HolderKind = HolderKind.USER, **more: str) -> Want:
    application = Version.parse(more.pop("app")) if "app" in more else None
    return Want(license_type, kind, holder, **more, application=application)


@dataclass
class Site:
    """Licenses as `{"PBX-Port12": 5, "PBX-Port11": (2, "berlin-box")}`, PBXs as `{"berlin": "slave 12 gateway"}`."""

    licenses: Mapping[str, int | tuple[int, str]]
    pbxs: Mapping[str, str] = field(default_factory=lambda: {"hq": "master 12 gateway"})

    def __post_init__(self) -> None:
        pbxs = {}
        for number, (name, described) in enumerate(self.pbxs.items(), start=1):
            role, software, platform = described.split()
            device = Device(number, f"{name}-box", platform, "")
            pbxs[number] = Pbx(number, name, name, device, PbxRole[role.upper()], Version.parse(software), PACE)
        devices = {pbx.device.name: pbx.device for pbx in pbxs.values()}
        items = []
        for number, (printed, bought) in enumerate(self.licenses.items(), start=1):
            quantity, box = bought if isinstance(bought, tuple) else (bought, "hq-box")
            read = INNOVAPHONE.read_name(printed.strip())
            items.append(License(f"license-{number}", read.type, read.version, read.tier, quantity, devices.get(box)))
        self.estate = Estate(1, "acme", 1, INNOVAPHONE, pbxs, (), {}, epoch_floor=0).with_licenses(items)
        self._eligibilities = EligibilityCache(self.estate)
        self.working_set = SeatWorkingSet(pbx_wide=INNOVAPHONE.pbx_wide_types)
        self.software = {pbx.id: pbx.software for pbx in pbxs.values()}
        self.fit()

    def fit(self) -> None:
        """Pools are as large as the licenses."""
        for (device_id, key), pool_id in self.estate.pool_ids.items():
            pool = self.working_set.pools.setdefault(pool_id, PoolScore(0, 0))
            pool.capacity = self.estate.installations[device_id].capacity.get(key, 0)

    def acquire(
        self, pbx: str, *wants: Want, software: str = "", now: float = 0.0, effort: Effort | None = None
    ) -> list[Outcome]:
        """Grant or refuse, with remedies."""
        decider, case = self._decider(pbx, software, now)
        outcomes = decider.acquire(wants)
        return with_remedies(outcomes, case, effort or Effort.of_an_explanation(), wants=wants)

    def give_back(self, pbx: str, *keys: SeatKey) -> list[ReturnOutcome]:
        """Return or refuse, with remedies."""
        decider, case = self._decider(pbx, "", 0.0)
        outcomes = decider.give_back(keys)
        return with_remedies(outcomes, case, Effort.of_an_explanation(), returns=keys)

    def refuse(self, pbx: str, *wants: Want, software: str = "", now: float = 0.0) -> Refusal:
        """The refusal of all of them, which must be one."""
        outcomes = self.acquire(pbx, *wants, software=software, now=now)
        assert all(isinstance(outcome, Refusal) for outcome in outcomes), outcomes
        (refusal,) = {
            outcome.remedy.text: outcome for outcome in outcomes if isinstance(outcome, Refusal) and outcome.remedy
        }.values()
        return refusal

    def leave(self, license_id: str, release: object) -> None:
        """A release of a license has begun."""
        (known_license,) = [license for license in self.estate.licenses if license.id == license_id]
        self.estate = self.estate.with_licenses([replace(known_license, release=release)])  # type: ignore[arg-type]

    def _decider(self, pbx: str, software: str, now: float) -> tuple[Decider, Case]:
        at = self.estate.pbxs[self.estate.pbx_ids[pbx]]
        runs = Version.parse(software) if software else self.software[at.id]
        if self._eligibilities.estate is not self.estate:
            self._eligibilities = EligibilityCache(self.estate)
        eligibilities = self._eligibilities
        time = LeaseTime.at(now)
        decider = Decider(eligibilities, self.working_set, at, runs, time)
        return decider, Case(
            eligibilities=eligibilities,
            working_set=self.working_set,
            read_pools=lambda: self.working_set.pools,
            pbx=at,
            software=runs,
            time=time,
        )


def ways(refusal: Refusal) -> Sequence[str]:
    assert refusal.remedy is not None
    return [way.text for way in refusal.remedy.ways]
