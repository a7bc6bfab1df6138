"""What becomes of licenses that move, worked out the slow and obvious way, for the model of the random histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

COOLING_OFF_SECONDS = 100
REFUSE, REVOKE, FORCE = 1, 3, 4
BOXES = ("hq-box", "paris-box", "rome-box")
"""Devices that licenses move between."""

Key = tuple[str, str]
"""(license type, holder)."""
PoolName = tuple[str, str]
"""(device, license type)."""


@dataclass(frozen=True)
class HeldSeat:
    """A seat: the pool debited, or None and the type that includes it; since when."""

    pool: PoolName | None
    parent: str = ""
    at: float = 0.0


@dataclass
class ModelRelease:
    """A release under way."""

    in_use: int
    to_device: str
    dead: bool
    asked_by: str
    nonce: bytes = b""
    """The master chooses it; the history notes it."""
    certified: bool = False
    approved: bool = False


@dataclass
class ModelLicense:
    kind: str
    quantity: int
    version: int = 12
    device: str = ""
    binding: int = 0
    first_bound: float | None = None
    held_until: float = 0.0
    release: ModelRelease | None = None
    last_nonce: bytes = b""
    """Of the release that freed it last, where its device could know it."""


@dataclass
class Balance:
    """The licenses of one project; the seats that use them are the model's."""

    licenses: dict[str, ModelLicense] = field(default_factory=dict)
    now: float = 0.0
    stepped: float = 0.0
    """Seconds by which the clock was set forward; PBXs know nothing of it."""

    @property
    def ends_by(self) -> float:
        """What was signed to end before this is over, by the clocks of PBXs too."""
        return self.now - self.stepped

    def capacity(self) -> dict[PoolName, int]:
        """What is installed, by pool."""
        raise NotImplementedError

    def declared(self) -> dict[PoolName, int]:
        """What the project file declares, by pool."""
        raise NotImplementedError

    def gives_nothing_back(self, device: str) -> bool:
        """Whether the firmware of a device is too old to release anything (L4)."""
        raise NotImplementedError

    def used(self) -> dict[PoolName, int]:
        """Seats debited, by pool."""
        raise NotImplementedError

    def is_connected(self, pbx: str, now: float) -> bool:
        """Whether it can be told something."""
        raise NotImplementedError

    held: dict[str, dict[Key, HeldSeat]] = field(default_factory=dict)
    revoked: dict[str, set[Key]] = field(default_factory=dict)

    def leaving(self, *, at_least: int = REFUSE) -> dict[PoolName, int]:
        """Licenses whose release is under way, doing so much about seats in use, by pool."""
        collected: dict[PoolName, int] = {}
        for license in self.licenses.values():
            if license.release is not None and license.release.in_use >= at_least:
                collected[license.device, license.kind] = (
                    collected.get((license.device, license.kind), 0) + license.quantity
                )
        return collected

    def seats_to_go(self, license: ModelLicense) -> int:
        """Seats in the way of a release; one that drains ends behind those that take seats away."""
        pool = license.device, license.kind
        drains = license.release is not None and license.release.in_use < REVOKE
        before = self.leaving(at_least=REVOKE).get(pool, 0) if drains else 0
        return max(self.used()[pool] - (self.capacity()[pool] - before - license.quantity), 0)

    # --- Moves: whether they are done, and what they come to ----------------------------------------------------------

    def bind(self, name: str, device: str) -> bool:
        """Put a free one onto a device."""
        license = self.licenses[name]
        if license.device or self.now < license.held_until:
            return False
        self._put(license, device)
        return True

    def release(self, name: str, asked: ModelRelease) -> tuple[int, int] | None:
        """Begin or step up; seats revoked and seats at risk, None where it is refused."""
        license = self.licenses[name]
        if not license.device:
            return None
        if license.release is None:
            if asked.to_device == license.device or self.gives_nothing_back(license.device):
                return None
            license.release = asked
            left = self.capacity()[license.device, license.kind] - self.leaving()[license.device, license.kind]
            if asked.in_use == REFUSE and self.used()[license.device, license.kind] > left:
                license.release = None
                return None
        elif (license.release.to_device, license.release.dead) != (asked.to_device, asked.dead):
            return None
        license.release.in_use = max(license.release.in_use, asked.in_use)
        taken = (0, 0)
        if asked.in_use in (REVOKE, FORCE):
            pool = license.device, license.kind
            stays = self.capacity()[pool] - self.leaving(at_least=REVOKE)[pool]
            taken = self.shrink(pool, stays, force=asked.in_use == FORCE)
        self._complete(license)
        return taken

    def certify(self, name: str) -> None:
        """Its device has signed; what it signs again is known, and completes nothing."""
        license = self.licenses[name]
        assert license.release is not None
        if not license.release.certified:
            license.release.certified = True
            self._complete(license)

    def approve(self, name: str, caller: str) -> bool:
        """Somebody else agrees that its device is dead."""
        license = self.licenses[name]
        if license.release is None or not license.release.dead or license.release.asked_by == caller:
            return False
        license.release.approved = True
        self._complete(license)
        return True

    def cancel(self, name: str) -> bool:
        """Give its release up."""
        license = self.licenses[name]
        if license.release is None:
            return False
        license.release = None
        license.binding += 1
        return True

    def look(self) -> None:
        """Complete what can be completed."""
        for name in sorted(self.licenses):
            if self.licenses[name].release is not None:
                self._complete(self.licenses[name])

    def _put(self, license: ModelLicense, device: str) -> None:
        license.device, license.release, license.held_until = device, None, 0.0
        license.binding += 1
        license.first_bound = self.now if license.first_bound is None else license.first_bound

    def _complete(self, license: ModelLicense) -> None:
        release = license.release
        assert release is not None
        if not (release.certified or release.approved) or self.seats_to_go(license):
            return
        target = release.to_device
        license.device, license.release, license.last_nonce = "", None, release.nonce
        license.held_until = 0.0 if release.certified else self.now + COOLING_OFF_SECONDS
        if target:
            self._put(license, target)

    # --- Seats that are taken away ------------------------------------------------------------------------------------

    def going(self, pool: PoolName) -> int:
        """Seats that are counted and not used, and will be let go of."""
        raise NotImplementedError

    def end_first_claims(self, pool: PoolName, excess: int, order: Sequence[str]) -> None:
        """Let go of what is kept for a return, as much as it takes."""
        raise NotImplementedError

    def standing(self, pbx: str, kind: str) -> tuple[bool, int, bool]:
        """Who gives seats up first: whoever sorts first."""
        raise NotImplementedError

    def lent(self, pbx: str, pool: PoolName) -> int:
        """Seats that were promised to a PBX for days."""
        raise NotImplementedError

    def shrink(self, pool: PoolName, stays: int, *, force: bool = False) -> tuple[int, int]:
        """Take seats away until so many are left; how many that was, and how many are at risk."""
        debited = [(pbx, key) for pbx, seats in self.held.items() for key, seat in seats.items() if seat.pool == pool]
        pending = [(pbx, key) for pbx, key in debited if key in self.revoked[pbx]]
        stays = max(stays, sum(self.lent(pbx, pool) for pbx in self.held))

        def excess() -> int:
            return self.used()[pool] - len(pending) - self.going(pool) - stays

        order = list(self.held)
        by_standing = sorted(order, key=lambda pbx: (self.standing(pbx, pool[1]), order.index(pbx)))
        self.end_first_claims(pool, excess(), by_standing)

        def turn(given: tuple[str, Key]) -> tuple[object, ...]:
            pbx, key = given
            return self.standing(pbx, pool[1]), -self.held[pbx][key].at, order.index(pbx), key[1]

        able = sorted((seat for seat in debited if seat not in pending), key=turn)
        for pbx in order:  # a loan was promised until its day, and stays
            of_pbx = [seat for seat in able if seat[0] == pbx]
            for seat in of_pbx[max(len(of_pbx) - self.lent(pbx, pool), 0) :]:
                able.remove(seat)
        chosen = able[: max(excess(), 0)]
        counted = sum(self.used().values())
        for pbx, key in [*chosen, *(pending if force else [])]:
            gone = [dependent for dependent in self._with_dependents(pbx, key) if dependent in self.held[pbx]]
            self.revoked[pbx] |= {seat for seat in gone if seat[0] != "ipva"}
            if force and not self.is_connected(pbx, self.now):
                for each in gone:
                    del self.held[pbx][each]
        return len(chosen), counted - sum(self.used().values())

    def _with_dependents(self, pbx: str, key: Key) -> list[Key]:
        kind, holder = key
        if kind == "port":
            return [key, ("ipva", holder)]
        if kind == "uc" or (kind == "mypbx" and ("uc", holder) not in self.held[pbx]):
            return [key, ("mypbx", holder), ("video", holder)] if kind == "uc" else [key, ("video", holder)]
        return [key]
