"""The claims and standby leases that a batch touches: read once, changed as its requests say, written with it.

Decides when a claim beside the lease begins and ends (rules F2, F3, F5); `domain/leases/claims.py` does the
arithmetic, the working set counts. Only PBXs that have a standby, or had one lately, come here, and those for which an
operator's policy keeps seats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases import claims as rules
from master.domain.leases.claims import Claim, ClaimKind, Claims
from master.domain.leases.leases import Lease, Phase
from master.domain.leases.loans import Loan, loans_of
from master.domain.leases.standby import StandbyLease, pair_problems, primary_of
from master.domain.leases.standby_overlap import TypeClaims, fenced_epoch, two_claims
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.service.batch.answers import StandbyOffer
from master.service.batch.requests import CarriedOffline, Receipt
from master.service.runtime.names import PbxName
from master.store.backends.database import Tx
from master.store.statements import claims as store
from master.values import Value, replace


class TwoClaims(Value):
    """A finding that a PBX and its standby used the PBX's seats at the same time, longer than handing over takes."""

    primary: Pbx
    standby: Pbx
    seconds: float
    types: Mapping[str, TypeClaims]
    over_granted: Mapping[str, int]
    """Seats in use at most beyond the licenses installed, by license type."""

    def details(self) -> dict[str, Any]:
        """Return the details in the form that the audit keeps."""
        return {
            "primary": self.primary.name,
            "standby": self.standby.name,
            "seconds": round(self.seconds, 3),
            "types": {
                key: {
                    "held_by_primary": claimed.held_by_primary,
                    "carried_by_standby": claimed.carried_by_standby,
                    "counted": claimed.counted,
                    "beyond_counted": claimed.beyond,
                    "over_granted": self.over_granted[key],
                }
                for key, claimed in self.types.items()
            },
        }


class BatchClaims:
    """The claims in the names of some PBXs, and the records of the standby leases for them."""

    def __init__(
        self,
        claims: Mapping[int, Claims],
        records: Mapping[store.Pair, StandbyLease],
        working_set: SeatWorkingSet,
        time: LeaseTime,
    ) -> None:
        """`claims` are those in the names of some PBXs; `working_set` holds the shares of all these."""
        self._time = time
        self._before = claims
        self._claims = dict(claims)
        self._records = dict(records)
        self._changed: dict[store.Pair, StandbyLease] = {}
        self._working_set = working_set

    @property
    def claims(self) -> Mapping[int, Claims]:
        """The claims, by the id of the PBX in whose name they are."""
        return self._claims

    def write(self, tx: Tx) -> None:
        store.write_claims(tx, self._before, self._claims)
        store.write_standby_leases(tx, self._changed.values())

    def held(self, estate: Estate, pbx_id: int) -> dict[str, int]:
        """Return the seats debited for a PBX, by license type."""
        return self.by_type(estate, self.seats(pbx_id))

    # --- Leases that pass from one to another -------------------------------------------------------------------------

    def handed_over(self, before: Lease, after: Lease) -> None:
        """Keep the seats claimed for the former user of a lease: it may use them until the signed end, as it may not
        know of the change.
        """
        was_running = before.phase is Phase.OPEN and self._time.reclaimed_by <= before.ends_at
        if was_running and before.user_id != after.user_id:
            claims, seats = self._claims[before.pbx_id], Counter(self.seats(before.pbx_id))
            seats |= Counter(rules.floors(rules.only(claims, ClaimKind.BLOCK)))  # its block it may use as well
            self.put(before.pbx_id, rules.without(claims, ClaimKind.BLOCK))
            self._raise(ClaimKind.FENCED, before.pbx_id, before.user_id, before.ends_at, before.epoch, seats)

    def heard(self, lease: Lease) -> None:
        """End the claims that a call under the present epoch disproves: the caller uses nothing under older epochs."""
        if lease.pbx_id in self._claims:
            self.put(lease.pbx_id, rules.released(self._claims[lease.pbx_id], lease.user_id, epoch=lease.epoch - 1))

    # --- Leases that end ----------------------------------------------------------------------------------------------

    def keep_first_claim(self, estate: Estate, lease: Lease) -> dict[str, int]:
        """Keep for a PBX the seats that it holds as its lease runs out, as long as the policies of the types say;
        return how many seats, by license type.
        """
        if lease.pbx_id not in self._claims:
            return {}
        policies, kept = estate.allocation.by_type, {}
        for pool_id, count in self.seats(lease.pbx_id).items():
            policy = policies.get(estate.shared_pools.get(pool_id, ""))
            if policy is not None and policy.first_claim_seconds:
                kept[pool_id] = count, self._time.now + policy.first_claim_seconds
        claims = rules.first_claims(self._claims[lease.pbx_id], lease.pbx_id, seats=kept, epoch=lease.epoch)
        self.put(lease.pbx_id, claims)
        return self.by_type(estate, {pool_id: count for pool_id, (count, _) in kept.items()})

    def closed(self, pbx_id: int) -> None:
        """End the seats kept for a PBX's return or future need, because the PBX gave up its seats on purpose."""
        if pbx_id in self._claims:
            self.put(pbx_id, rules.without(self._claims[pbx_id], ClaimKind.FIRST_CLAIM, ClaimKind.BLOCK))

    # --- After a restore ----------------------------------------------------------------------------------------------

    def left_for(self, pbx_id: int, pool_id: int) -> int:
        """Return how many licenses of a pool are counted for nobody, or already for a given PBX."""
        return self._working_set.pools[pool_id].free + self.counted(pbx_id, pool_id)

    def prove(self, lease: Lease, seats: Mapping[int, int], *, ends_at: float, serial: int) -> None:
        """Count for a PBX alone, until a given end, the seats that it has proven it may use, by pool id."""
        self._raise(ClaimKind.PROVEN, lease.pbx_id, lease.pbx_id, ends_at, serial, seats)

    # --- Standby leases -----------------------------------------------------------------------------------------------

    def receive(self, standby: Pbx, primary: Pbx, receipt: Receipt) -> None:
        """Take a standby's receipt for the standby leases that it has; a late receipt of older ones changes nothing."""
        if primary.id not in self._claims:
            return
        claims = self._claims[primary.id]
        if receipt.released_epoch > 0:
            claims = rules.released(claims, standby.id, epoch=receipt.released_epoch)
        record = self._record(standby, primary)
        if receipt.serial == record.serial > 0:
            if receipt.discarded:
                claims = rules.discarded(claims, standby.id)
                self._keep(replace(record, acknowledged_serial=0, acknowledged_ends_at=0.0))
            elif record.acknowledged_serial != record.serial:
                claims = rules.acknowledged(claims, standby.id)
                self._keep(replace(record, acknowledged_serial=record.serial, acknowledged_ends_at=record.ends_at))
        self.put(primary.id, claims)

    def offer(self, estate: Estate, standby: Pbx, own: Lease, lease: Lease | None) -> StandbyOffer | None:
        """Return what a standby may carry while no master answers, counted from now on; None where nothing is to be
        said. An empty standby lease replaces one that is no longer needed.
        """
        primary = primary_of(estate, standby)
        if primary is None or lease is None:
            return None
        if lease.user_id == standby.id and lease.state(self._time).is_running:
            return None
        names = PbxName(estate.name, standby.name), PbxName(estate.name, primary.name)
        blocking = [
            problem for problem in pair_problems(estate, standby, primary, own.software) if problem.kind.blocking
        ]
        if blocking:
            return StandbyOffer(standby=names[0], primary=names[1], problems=tuple(blocking))
        seats = Counter(self.seats(primary.id)) if lease.state(self._time).is_running else Counter[int]()
        seats -= Counter(rules.floors(rules.only(self._claims[primary.id], ClaimKind.LOAN)))  # its own, come what may
        record = self._record(standby, primary)
        unheard = record.serial > record.acknowledged_serial and self._time.ends_by <= record.ends_at
        if not seats and not self._promised(primary, standby) and not unheard:
            return None
        record = replace(record, serial=record.serial + 1, issued_at=self._time.now, ends_at=own.ends_at)
        self._keep(record)
        self._raise(ClaimKind.OFFERED, primary.id, standby.id, own.ends_at, record.serial, seats)
        return StandbyOffer(
            standby=names[0],
            primary=names[1],
            primary_epoch=lease.epoch,
            serial=record.serial,
            issued_at=self._time.now,
            ends_at=own.ends_at,
            ttl_seconds=lease.ttl_seconds,
            grace_seconds=primary.pace.grace_seconds,
            holdings=self.by_type(estate, seats),
        )

    def end(self, pbx_id: int) -> int:
        """End a PBX's claims that are past their end; return how many seats are no longer counted."""
        if pbx_id not in self._claims:
            return 0  # another master was first
        before = self._counted(pbx_id)
        self.put(pbx_id, rules.in_force(self._claims[pbx_id], self._time))
        return before - self._counted(pbx_id)

    def drop(self, pbx_id: int) -> None:
        """End all claims in a PBX's name at once, except loans, which are returned instead. A renewal gives the PBX's
        standbys an empty standby lease.
        """
        if pbx_id not in self._claims:
            return
        self.put(pbx_id, rules.only(self._claims[pbx_id], ClaimKind.LOAN))
        issued = [record for record in self._records.values() if record.serial]
        for record in [record for record in issued if record.primary_id == pbx_id]:
            # a serial that was never sent, so that late words of the last one change nothing
            self._keep(replace(record, serial=record.serial + 1, acknowledged_serial=0, acknowledged_ends_at=0.0))

    def put(self, pbx_id: int, claims: Claims) -> None:
        """Replace the claims in a PBX's name; they must have been read before."""
        self._claims[pbx_id] = claims
        self._working_set.set_floors(pbx_id, rules.floors(claims))

    def seats(self, pbx_id: int) -> dict[int, int]:
        """Return the seats debited for a PBX, by pool id; its claims must have been read."""
        shares = self._working_set.seats[pbx_id].shares or {}
        return {pool_id: share.seats for pool_id, share in shares.items() if share.seats}

    def loans(self, estate: Estate, pbx_id: int) -> tuple[Loan, ...]:
        """Return the loans of a PBX, if its claims were read."""
        return loans_of(estate, self._claims.get(pbx_id, ()), self.seats(pbx_id))

    def counted(self, pbx_id: int, pool_id: int) -> int:
        """Return the seats of a pool that are held or claimed in a PBX's name; its claims must have been read."""
        share = (self._working_set.seats[pbx_id].shares or {}).get(pool_id)
        return share.counted if share is not None else 0

    def in_use_at_most(self, pbx_id: int) -> dict[int, int]:
        """Return the seats, by pool id, that may be in use in a PBX's name beyond its loans; its claims must have been
        read.
        """
        claims = self._claims.get(pbx_id, ())
        lent = rules.floors(rules.only(claims, ClaimKind.LOAN))
        floors = rules.floors(rules.without(claims, ClaimKind.FIRST_CLAIM, ClaimKind.LOAN))
        shares = self._working_set.seats[pbx_id].shares or {}
        in_use = {
            pool_id: max(share.seats, floors.get(pool_id, 0)) - lent.get(pool_id, 0)
            for pool_id, share in shares.items()
        }
        return {pool_id: seats for pool_id, seats in in_use.items() if seats > 0}

    # --- Two claims at once -------------------------------------------------------------------------------------------

    def carried_beside(
        self, estate: Estate, standby: Pbx, primary: Pbx, lease: Lease | None, carried: CarriedOffline
    ) -> TwoClaims | None:
        """Find whether the primary was heard of after its standby had begun to carry its seats offline; report that
        once.
        """
        since = self._time.now - carried.carried_seconds
        record = self._record(standby, primary)
        if lease is None or lease.carrier is not None or lease.renewed_at <= since:
            return None
        if record.reported_serial == carried.serial:
            return None
        self._keep(replace(record, two_claims_at=self._time.now, reported_serial=carried.serial))
        held = self.held(estate, primary.id)
        return self._two_claims(estate, primary, standby, lease.renewed_at - since, held, carried.in_use)

    def called_when_fenced(
        self, estate: Estate, primary: Pbx, lease: Lease, epoch: int, *, caller_id: int | None
    ) -> TwoClaims | None:
        """Find whether a call under an older epoch shows that its caller used the seats beside the present user, for
        longer than a renewal takes to report it; report that once.
        """
        claim = fenced_epoch(self._claims.get(primary.id, ()), epoch, caller_id=caller_id)
        if claim is None or claim.holder_id == lease.user_id:
            return None
        standby = estate.pbxs.get(lease.user_id if claim.holder_id == primary.id else claim.holder_id)
        since = lease.carrier.since if lease.carrier is not None else lease.opened_at
        if standby is None or self._time.now - since <= lease.ttl_seconds:
            return None
        record = self._record(standby, primary)
        if record.reported_epoch == epoch:
            return None
        self._keep(replace(record, two_claims_at=self._time.now, reported_epoch=epoch))
        now_held, fenced = self.held(estate, primary.id), self.by_type(estate, self._of(primary.id, claim))
        held, carried = (fenced, now_held) if claim.holder_id == primary.id else (now_held, fenced)
        return self._two_claims(estate, primary, standby, self._time.now - since, held, carried)

    def _two_claims(
        self,
        estate: Estate,
        primary: Pbx,
        standby: Pbx,
        seconds: float,
        held: Mapping[str, int],
        carried: Mapping[str, int],
    ) -> TwoClaims:
        shares = self._working_set.seats[primary.id].shares or {}
        counted = self.by_type(estate, {pool_id: share.counted for pool_id, share in shares.items()})
        types = two_claims(held, carried, counted)
        free: dict[str, int] = dict.fromkeys(types, 0)
        for (_, key), pool_id in estate.pool_ids.items():
            if key in free and pool_id in shares:
                free[key] += self._working_set.pools[pool_id].free
        over = {key: max(overlap.beyond - free[key], 0) for key, overlap in types.items()}
        return TwoClaims(primary, standby, seconds, types, over)

    # --- Underneath ---------------------------------------------------------------------------------------------------

    def _raise(
        self, kind: ClaimKind, pbx_id: int, holder_id: int, ends_at: float, serial: int, seats: Mapping[int, int]
    ) -> None:
        self.put(
            pbx_id, rules.raised(self._claims[pbx_id], kind, holder_id, seats=seats, ends_at=ends_at, serial=serial)
        )

    def _counted(self, pbx_id: int) -> int:
        return sum(share.counted for share in (self._working_set.seats[pbx_id].shares or {}).values())

    def _of(self, pbx_id: int, like: Claim) -> dict[int, int]:
        """Return the seats, by pool id, of all claims that belong to the same cause as a given claim."""
        return {
            claim.pool_id: claim.seats
            for claim in self._claims[pbx_id]
            if (claim.kind, claim.holder_id, claim.serial) == (like.kind, like.holder_id, like.serial)
        }

    def _promised(self, primary: Pbx, standby: Pbx) -> bool:
        record = self._record(standby, primary)
        mine = [claim for claim in self._claims[primary.id] if claim.holder_id == standby.id]
        return record.serial > 0 and any(claim.kind is not ClaimKind.FENCED for claim in mine)

    def _record(self, standby: Pbx, primary: Pbx) -> StandbyLease:
        pair = standby.id, primary.id
        return self._records.get(pair, StandbyLease(standby_id=standby.id, primary_id=primary.id))

    def _keep(self, record: StandbyLease) -> None:
        pair = record.standby_id, record.primary_id
        self._records[pair] = self._changed[pair] = record

    @staticmethod
    def by_type(estate: Estate, seats: Mapping[int, int]) -> dict[str, int]:
        """Convert seats by pool id into seats by license type."""
        type_of = {pool_id: key for (_, key), pool_id in estate.pool_ids.items()}
        by_key: dict[str, int] = {}
        for pool_id, count in seats.items():
            if count:
                by_key[type_of[pool_id]] = by_key.get(type_of[pool_id], 0) + count
        return by_key
