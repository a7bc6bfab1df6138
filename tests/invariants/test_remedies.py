"""Every remedy that a random history produces is carried out, and then the very same request is granted.

Carried out by code of its own: licenses come and go, PBXs run other software, seats are acquired and returned by
whoever holds them. Only what is asked for in the end is decided by the code that found the remedy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from hypothesis import event, given, settings
from hypothesis import strategies as st

from licensemaster.api_enums import HolderKind, RemedyAction
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.license_release import InUse, Release
from master.domain.licenses import moves
from master.domain.licenses.move_problems import MoveRefusal
from master.domain.remedies.move_remedies import AskedMove, MoveKind, with_way
from master.domain.seats.decide_seats import Decider
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.refusals.reasons import Refusal, Step, Way
from master.domain.seats.seats import Granted, Seat, SeatKey, Want
from master.values import replace
from tests.domain.catalogs import INNOVAPHONE
from tests.domain.remedies.remedying import Site, want
from tests.support.limits import LONG

NOW = LeaseTime.at(0.0)
Action = RemedyAction
USERS = ("anna", "bert", "cleo")
PRINTED = {
    key: license_type.name
    for key, license_type in INNOVAPHONE.types.items()
    if license_type.metering is not Metering.FREE
}
NO_GRANT = {Action.EXPLAIN, Action.NONE}
OTHER_REQUEST = ("license_type", "holder_kind", "user", "line")
RELEASE = Release(
    in_use=InUse.DRAIN,
    to_device="",
    requested_by="operator",
    requested_at=0.0,
    reason="",
    nonce=b"",
    certified=False,
    device_dead=False,
    approved_by="",
)

versions = st.sampled_from(["12"] * 6 + ["9", "10", "11", "13"])
software = st.sampled_from(["12"] * 8 + ["9", "10", "10sr12", "11", "12r2", "13"])
described = st.fixed_dictionaries(
    {
        "hq": st.builds("master {} {}".format, software, st.sampled_from(["gateway", "ipva"])),
        "berlin": st.builds("slave {} gateway".format, software),
        "cloud": st.builds("slave {} ipva".format, software),
    }
)
bought = st.lists(
    st.tuples(
        st.sampled_from(["port", "port", "port", "ipva", "uc", "mypbx", "video", "webrtc", *PRINTED]),
        versions,
        st.integers(1, 3),
        st.sampled_from(["hq-box"] * 6 + ["berlin-box", "cloud-box", ""]),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=12,
)


keys = st.sampled_from(["port", "mypbx", "uc", "video", "webrtc", *INNOVAPHONE.types])
kinds = {key: st.sampled_from(sorted(kind.holders) or [HolderKind.USER]) for key, kind in INNOVAPHONE.types.items()}
on_lines = {key for key, kind in INNOVAPHONE.types.items() if any(need.of.value == "line" for need in kind.requires)}
users, whether, numbers = st.sampled_from(USERS), st.booleans(), st.integers(1, 2)
users_of = {user: st.sampled_from([user, user, ""]) for user in USERS}
lines, applications = st.sampled_from(["line", ""]), st.sampled_from(["9", "12", "13"])


@st.composite
def wants(draw: st.DrawFn) -> Want:
    """Out of strategies that are made once: to make them takes longer than to draw from them."""
    key = draw(keys)
    kind, user = draw(kinds[key]), draw(users)
    more: dict[str, str] = {}
    if not kind.is_user:
        more["user"] = draw(users_of[user])
    if key in on_lines:
        more["line"] = draw(lines)
    if draw(whether):
        more["app"] = draw(applications)
    return want(key, user if kind.is_user else f"{user}-{draw(numbers)}", kind, **more)


calls = st.lists(
    st.tuples(
        st.sampled_from(["hq", "berlin", "cloud"]),
        st.sampled_from(["acquire", "acquire", "acquire", "return", "revoke"]),
        st.lists(wants(), min_size=1, max_size=5, unique_by=lambda want: want.key),
    ),
    min_size=1,
    max_size=12,
)


def described_site(pbxs: dict[str, str], items: Sequence[tuple[str, str, int, str, bool]]) -> Site:
    licenses = {}
    for number, (key, version, quantity, device, _) in enumerate(items):
        version = str(max(int(version), INNOVAPHONE.types[key].minimum_version))
        licenses[PRINTED[key].format(version=version) + " " * number] = (quantity, device)
    site = Site(licenses, pbxs)
    for number, (key, _, _, device, leaves) in enumerate(items, start=1):
        if leaves and device and INNOVAPHONE.types[key].releasable:
            site.leave(f"license-{number}", RELEASE)
    return site


class CarriedOut:
    """A copy of the site with the steps of one way taken."""

    def __init__(self, site: Site, pbx: str, way: Way, asked: Sequence[Want] = ()) -> None:
        self.site = copy.copy(site)
        self.site.working_set = copy.deepcopy(site.working_set)
        self.site.software = dict(site.software)
        self.pbx = self.site.estate.pbxs[self.site.estate.pbx_ids[pbx]]
        self.users = {want.subject for want in asked}
        self.application: Version | None = None
        self.returned: list[SeatKey] = []
        self.possible = self.prepared = self.releasable = True
        for step in way.steps:
            self._take(step)

    def decider(self) -> Decider:
        estate = self.site.estate
        return Decider(EligibilityCache(estate), self.site.working_set, self.pbx, self.site.software[self.pbx.id], NOW)

    def _take(self, step: Step) -> None:
        estate = self.site.estate
        by_id = {license.id: license for license in estate.licenses}
        named = [by_id[ref.id] for ref in step.licenses]
        match step.action:
            case Action.ADD_LICENSES:
                license_type = INNOVAPHONE.types[step.license_type]
                version = int(step.version) if step.version else None
                assert (version is not None) == license_type.versioned
                assert version is None or version >= license_type.minimum_version
                device = estate.pbx_on[step.device].device
                fresh = License(f"bought-{len(by_id)}", license_type, version, None, step.quantity, device)
                self.site.estate = estate.with_licenses([fresh])
            case Action.REPLACE_LICENSES:
                assert all(license.version is not None and license.version < int(step.version) for license in named)
                self.site.estate = estate.with_licenses(
                    [replace(license, version=int(step.version)) for license in named]
                )
            case Action.RELEASE_LICENSES:
                assert not any(
                    license.type.stays_on(license.device.platform) for license in named if license.device is not None
                )
                self.releasable &= not any(self._is_in_use(license, named) for license in named)
                self.site.estate = estate.with_licenses(
                    [replace(license, device=None, release=None) for license in named]
                )
            case Action.UPGRADE_SOFTWARE | Action.DOWNGRADE_SOFTWARE if step.pbx:
                self.site.software[estate.pbx_ids[step.pbx]] = Version.parse(step.version)
            case Action.DOWNGRADE_SOFTWARE:
                self.application = Version.parse(step.version)
            case Action.CORRECT_REQUEST:
                assert step.field == "application_version"
                self.application = Version.parse(step.version)
            case Action.FREE_SEATS:
                self._free(step)
            case Action.ACQUIRE_FIRST:
                self.site.fit()
                first = [Want(seat.type, seat.kind, seat.holder) for seat in step.seats]
                self.prepared &= all(isinstance(outcome, Granted) for outcome in self.decider().acquire(first))
            case Action.RETURN_FIRST:
                self.returned += [SeatKey(seat.type, seat.kind, seat.holder) for seat in step.seats]
            case _:
                raise AssertionError(step)
        self.site.fit()

    def _is_in_use(self, license: License, leaving: Sequence[License]) -> bool:
        """L5: Tell whether a release would leave fewer licenses than seats in use."""
        estate = self.site.estate
        assert license.device is not None
        pool = self.site.working_set.pools[estate.pool_ids[license.device.id, license.type.key]]
        left = moves.left_without(estate, license, {other.id for other in leaving})
        return moves.use_refused(license, used=pool.used, left=left) is not None

    def _free(self, step: Step) -> None:
        """Whoever holds them gives them back, as far as nothing else needs them; the users who ask come last."""
        estate, left = self.site.estate, step.quantity
        pool_id = estate.pool_ids[estate.pbx_on[step.device].device.id, step.license_type]
        for pbx in estate.pbxs.values():
            decider = Decider(EligibilityCache(estate), self.site.working_set, pbx, self.site.software[pbx.id], NOW)
            for seat in sorted(self.site.working_set.holdings(pbx.id), key=self._asks):
                if left and seat.pool_id == pool_id and not seat.is_companion:
                    left -= not isinstance(decider.give_back([seat.key])[0], Refusal)
        self.possible &= not left

    def _asks(self, seat: Seat) -> bool:
        return seat.pbx_id == self.pbx.id and seat.subject in self.users

    def must_acquire(self, wants: Sequence[Want]) -> None:
        assert self.acquires(wants), wants

    def acquires(self, wants: Sequence[Want]) -> bool:
        if self.returned:
            self.decider().give_back(self.returned)
        asked = [want._replace(application=self.application) if self.application else want for want in wants]
        return (
            self.prepared
            and self.releasable
            and all(isinstance(outcome, Granted) for outcome in self.decider().acquire(asked))
        )

    def must_return(self, keys: Sequence[SeatKey]) -> None:
        outcomes = self.decider().give_back([*self.returned, *keys])
        assert not any(isinstance(outcome, Refusal) for outcome in outcomes), outcomes


def with_one_less(way: Way) -> Iterator[Way]:
    for at, step in enumerate(way.steps):
        if step.quantity > 1:
            yield Way((*way.steps[:at], replace(step, quantity=step.quantity - 1), *way.steps[at + 1 :]), "")


@settings(max_examples=3_000 if LONG else 300)
@given(pbxs=described, items=bought, history=calls)
def test_remedies_are_true(
    pbxs: dict[str, str],
    items: list[tuple[str, str, int, str, bool]],
    history: list[tuple[str, str, list[Want]]],
) -> None:
    site = described_site(pbxs, items)
    for pbx, what, asked in history:
        keys = [want.key for want in asked]
        if what == "revoke":
            seats = site.working_set.seats[site.estate.pbx_ids[pbx]]
            seats.revoked |= {key for key in keys if key in seats.by_key and not seats.by_key[key].is_companion}
            continue
        outcomes = site.acquire(pbx, *asked) if what == "acquire" else site.give_back(pbx, *keys)
        alike: dict[int, list[int]] = {}
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, Refusal):
                assert outcome.remedy is not None
                alike.setdefault(id(outcome.remedy), []).append(index)
        for members in alike.values():
            outcome = outcomes[members[0]]
            assert isinstance(outcome, Refusal)
            assert outcome.remedy is not None
            event(f"{outcome.reason.name}: {outcome.remedy.main.action.name}")
            assert outcome.remedy.main.action is not Action.EXPLAIN
            assert bool(outcome.remedy.ways) is (outcome.remedy.main.action not in NO_GRANT)
            for way in outcome.remedy.ways:
                if way.steps[0].field in OTHER_REQUEST:
                    continue
                members_ask = [asked[at] for at in members] if what == "acquire" else []
                done = CarriedOut(site, pbx, way, members_ask)
                if not done.possible:
                    event("seats that nobody can give back")
                elif what == "return":
                    done.must_return([keys[at] for at in members])
                else:
                    done.must_acquire(members_ask)
                    for fewer in with_one_less(way):
                        assert not CarriedOut(site, pbx, fewer, members_ask).acquires(members_ask)


moving = st.lists(
    st.tuples(
        st.sampled_from(["port", "port", "voicemail", "voicemail_user", "ipva", "relay_bri", "mypbx"]),
        st.sampled_from([None, None, 250, 500, 1000]),
        st.sampled_from(["7", "9", "12"]),
        st.integers(1, 600),
        st.sampled_from(["hq-box", "berlin-box", "cloud-box", ""]),
    ),
    min_size=1,
    max_size=8,
)
old_software = st.fixed_dictionaries(
    {
        "hq": st.sampled_from(["master 7 gateway", "master 12 ipva"]),
        "berlin": st.sampled_from(["slave 7 gateway", "slave 12 gateway"]),
        "cloud": st.sampled_from(["slave 7 ipva", "slave 12 ipva"]),
    }
)


@settings(max_examples=3_000 if LONG else 200)
@given(pbxs=old_software, items=moving, target=st.sampled_from(["hq-box", "berlin-box", "cloud-box"]))
def test_remedies_of_moves_are_true(
    pbxs: dict[str, str], items: list[tuple[str, int | None, str, int, str]], target: str
) -> None:
    licenses = {}
    for number, (key, tier, version, quantity, box) in enumerate(items):
        license_type = INNOVAPHONE.types[key]
        version = str(max(int(version), license_type.minimum_version))
        name = license_type.tier_name if tier in license_type.tiers else license_type.name
        licenses[name.format(version=version, tier=tier) + " " * number] = (quantity, box)
    site = Site(licenses, pbxs)
    device = site.estate.pbx_on[target].device
    for license in site.estate.licenses:
        pool = license.quantity // 2 if license.device is not None else 0
        kinds = [MoveKind.RELEASE, MoveKind.REBIND] if license.device is not None else [MoveKind.BIND]
        for kind in [*kinds, MoveKind.BIND]:
            asked = AskedMove(
                kind=kind,
                license=license.id,
                device=device if kind is not MoveKind.RELEASE else None,
                used=0 if kind is MoveKind.BIND else pool,
                leaving={license.id},
            )
            refused = move_refused(site, asked, pool)
            if refused is None:
                continue
            answer = with_way(refused, asked, site.estate)
            event(f"{refused.problem.name}: {'steps' if answer.ways else 'words'}")
            for way in answer.ways:
                done, back = CarriedOut(site, "hq", Way((), "")), 0
                for step in way.steps:
                    if step.action is Action.FREE_SEATS:
                        back += step.quantity
                        continue
                    if step.action is Action.RELEASE_LICENSES:
                        assert not any(released(done.site, ref.id) for ref in step.licenses)
                    done._take(step)
                assert move_refused(done.site, asked, pool - back) is None


def released(site: Site, license_id: str) -> MoveRefusal | None:
    known_license = next(license for license in site.estate.licenses if license.id == license_id)
    return moves.release_refused(site.estate, known_license, software=site.software)


def move_refused(site: Site, asked: AskedMove, used: int) -> MoveRefusal | None:
    estate, device = site.estate, asked.device
    known_license = next(license for license in estate.licenses if license.id == asked.license)
    if asked.kind is MoveKind.BIND:
        assert device is not None
        return moves.bind_refused(estate, known_license, device)
    if asked.kind is MoveKind.RELEASE:
        refused = moves.release_refused(estate, known_license, software=site.software)
    else:
        assert device is not None
        refused = moves.rebind_refused(estate, known_license, device, software=site.software)
    left = moves.left_without(estate, known_license, asked.leaving)
    return refused or (moves.use_refused(known_license, used=used, left=left) if asked.used else None)
