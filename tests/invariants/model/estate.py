"""Where a PBX stands: on which device of which platform, with which software, under whose licenses (A3, A5, B3, D1).

Worked out the slow and obvious way, for the model of the random histories.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.invariants.balance import Balance, HeldSeat, Key, PoolName

DECLARED_VERSION = 12
CENTRAL_FROM = 8
"""The software that draws on a pool (A5), and gives licenses back (L4)."""
PLATFORMS = {"berlin": "gateway", "paris": "gateway", "vm": "ipva", "rome": "gateway", "spare": "gateway"}
SOFTWARE = 12
"""What the project says that every PBX runs."""


@dataclass
class ModelEstate(Balance):
    """Versions, platforms and places."""

    platforms: dict[str, str] = field(default_factory=lambda: dict(PLATFORMS))
    """Of the PBXs' devices."""

    def user_of(self, pbx: str) -> str:
        """Who uses a PBX's seats: itself, or its standby."""
        raise NotImplementedError

    def running(self, pbx: str) -> int:
        """The software that a PBX's calls are judged by."""
        raise NotImplementedError

    def take(self, pbx: str, kind: str, key: Key | None = None) -> PoolName | None:
        """The pool that one seat more may be debited from; None where none has any left."""
        raise NotImplementedError

    def is_local(self, pbx: str) -> bool:
        """Whether it has licenses of its own (A3)."""
        return any(device == f"{pbx}-box" and kind != "ipva" for device, kind in self.capacity())

    def installation(self, pbx: str) -> str:
        """The device whose licenses it uses (B9)."""
        return f"{pbx}-box" if self.is_local(pbx) else "hq-box"

    def limit(self, device: str) -> int:
        """The highest software that the licenses on a device allow (B3)."""
        bound = [license.version for license in self.licenses.values() if license.device == device]
        declared = [DECLARED_VERSION] if any(place == device for place, _ in self.declared()) else []
        return min([*bound, *declared], default=99)

    def gets_nothing_new(self, pbx: str) -> bool:
        """Whether its software is above the limit (B5), or too old for a pool (A5)."""
        software = self.running(pbx)
        return software > self.limit(self.installation(pbx)) or (software < CENTRAL_FROM and not self.is_local(pbx))

    def places(self, pbx: str, kind: str) -> list[str]:
        """Devices that seats of a kind may be debited from, in order (A1 to A3, D5)."""
        usual = self.installation(pbx)
        if kind != "ipva":
            return [usual]
        host = pbx if self.platforms[pbx] == "ipva" else self.user_of(pbx)
        return [place for place in (f"{host}-box", usual) if self.running(pbx) <= self.limit(place)]

    def needs_ipva(self, pbx: str) -> bool:
        """Whether a port of it is used on a virtual machine, or comes home to one (D1)."""
        return "ipva" in (self.platforms[pbx], self.platforms[self.user_of(pbx)])

    def turn_into(self, pbx: str, platform: str) -> bool:
        """Its device becomes another one; whether its ports find what they need then, oldest first (D1, D2)."""
        self.platforms[pbx] = platform
        seats = self.held[pbx]
        ports = [holder for kind, holder in seats if kind == "port"]
        for holder in ports:
            seats.pop(("ipva", holder), None)
        if not self.needs_ipva(pbx):
            return True
        for holder in sorted(ports, key=lambda name: (seats["port", name].at, name)):
            pool = self.take(pbx, "ipva")
            if pool is None:
                return False
            seats["ipva", holder] = HeldSeat(pool, "port", at=seats["port", holder].at)
        return True

    def is_reconciled(self, pbx: str) -> bool:
        """D1, D2: each port on a virtual machine has its IPVA seat, and no other seat has one."""
        ports = {holder for kind, holder in self.held[pbx] if kind == "port"}
        beside = {holder for kind, holder in self.held[pbx] if kind == "ipva"}
        return ports == beside if self.platforms[pbx] == "ipva" else beside <= ports
