"""The standby leases of a standby: the seats of another PBX that it may carry while no master answers.

Decides: which standby leases are relied on, how long, and what the master is told of them. Each is on disk before it is
acknowledged, one file per PBX that may be taken over for; a newer lease replaces the file, a refusal removes it.
Leaves to others: using one (`takeover`), sending receipts (`lease_keeper`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from licensemaster.signing.verified_lease import (
    LeaseVerificationError,
    StandbyLease,
    remaining_after_restart,
    verify_standby_lease,
)
from licensemaster.v1 import lease_pb2
from slave_client.connection.clocks import Clock, reading_of
from slave_client.storage.state_dir import StateDir
from slave_client.storage.state_files import (
    StateDirError,
    as_json,
    clock_fields,
    clock_reading_of,
    document_fields,
    document_of,
)
from slave_client.storage.state_writer import StateWriter
from slave_client.values.notices import NoticeBoard, NoticeKind


@dataclass(slots=True)
class _PrimaryState:
    """What a standby knows of one PBX that it may take over for."""

    lease: StandbyLease | None = None
    end: float = 0.0
    """The lease's end, in seconds of the steady clock."""
    serial: int = 0
    released_epoch: int = 0


class StandbyLeases:
    def __init__(
        self,
        *,
        standby: str,
        state_dir: StateDir | None,
        state_writer: StateWriter,
        clock: Clock,
        board: NoticeBoard,
        trusted_keys: Callable[[], tuple[bytes, ...]],
    ) -> None:
        self._standby = standby
        self._state_dir = state_dir
        self._state_writer = state_writer
        self._turn = asyncio.Lock()
        """Held while a standby lease is changed on disk and in memory."""
        self._clock = clock
        self._board = board
        self._trusted_keys = trusted_keys
        self._primaries: dict[str, _PrimaryState] = {}

    async def load(self, primary: str) -> None:
        """Load the standby lease for a PBX from disk, unless one is known already."""
        if primary in self._primaries or self._state_dir is None:
            return
        try:
            fields = await asyncio.to_thread(self._state_dir.files.read, _file_of(primary))
            if fields is None:
                return
            signed = document_of(fields["document"])
            lease = verify_standby_lease(
                signed, standby=self._standby, primary=primary, trusted_keys=self._trusted_keys()
            )
            remaining, _ = remaining_after_restart(
                lease.verified,
                saved=clock_reading_of(fields),
                saved_remaining_seconds=float(fields["remaining_seconds"]),
                now=reading_of(self._clock),
            )
        except (StateDirError, LeaseVerificationError, KeyError, TypeError, ValueError) as failure:
            self._board.raise_own(NoticeKind.NO_STANDBY_LEASE, f"the kept standby lease cannot be used: {failure}")
            return
        end = self._clock.now() + remaining
        self._primaries.setdefault(primary, _PrimaryState(lease=lease, end=end, serial=lease.serial))

    def find(self, primary: str) -> tuple[StandbyLease, float] | None:
        """Return the standby lease in force for a PBX, and its end in steady seconds; None where there is none."""
        state = self._primaries.get(primary)
        if state is None or state.lease is None or self._clock.now() >= state.end or not state.lease.seats:
            return None
        return state.lease, state.end

    def receipts(self) -> list[lease_pb2.StandbyLeaseReceipt]:
        """Return the receipts for standby leases that the next renewal carries."""
        return [
            lease_pb2.StandbyLeaseReceipt(
                primary=primary, serial=state.serial, discarded=state.lease is None, released_epoch=state.released_epoch
            )
            for primary, state in self._primaries.items()
        ]

    async def receive(self, offers: Sequence[lease_pb2.StandbyLeaseOffer], *, sent: float) -> None:
        """Keep the standby leases offered in answer to a call made at `sent`; only those on disk are acknowledged."""
        for offer in offers:
            if not offer.HasField("signed"):
                why = "; ".join(problem.message for problem in offer.problems)
                self._board.raise_own(NoticeKind.NO_STANDBY_LEASE, why)
                await self.discard(offer.primary)
                continue
            try:
                lease = verify_standby_lease(
                    offer.signed, standby=self._standby, primary=offer.primary, trusted_keys=self._trusted_keys()
                )
                await self._keep(offer.primary, lease, end=sent + lease.verified.duration_seconds)
            except (LeaseVerificationError, OSError) as failure:
                self._board.raise_own(NoticeKind.NO_STANDBY_LEASE, f"the standby lease is not kept: {failure}")
                continue
            self._board.clear_own(NoticeKind.NO_STANDBY_LEASE)

    async def discard(self, primary: str) -> None:
        """Stop relying on the standby lease for a PBX; the next receipts report that."""
        async with self._turn:
            state = self._primaries.get(primary)
            if state is None or state.lease is None:
                return
            try:
                await self._state_writer.write(lambda state_dir: state_dir.files.remove(_file_of(primary)))
            except OSError:
                return  # a restart may find it again, so the master must go on counting it
            state.lease = None

    def released(self, primary: str, epoch: int) -> None:
        """Note that no seat is in use under a PBX's lease with this epoch; the next receipts report that."""
        state = self._primaries.setdefault(primary, _PrimaryState())
        state.released_epoch = max(state.released_epoch, epoch)

    async def _keep(self, primary: str, lease: StandbyLease, *, end: float) -> None:
        saved = reading_of(self._clock)
        fields: dict[str, object] = {
            "document": document_fields(lease.verified.document),
            "remaining_seconds": end - saved.steady,
            **clock_fields(saved),
        }
        async with self._turn:
            await self._state_writer.write(lambda state_dir: state_dir.files.write(_file_of(primary), as_json(fields)))
            state = self._primaries.setdefault(primary, _PrimaryState())
            state.lease, state.end, state.serial = lease, end, lease.serial


def _file_of(primary: str) -> str:
    return f"standby-{primary.rpartition('/')[2]}"


class NoStandbyLeases:
    """The empty store of a client that carries another PBX's seats and gets no standby leases."""

    def receipts(self) -> list[lease_pb2.StandbyLeaseReceipt]:
        return []

    async def receive(self, offers: Sequence[lease_pb2.StandbyLeaseOffer], *, sent: float) -> None:
        """Keep nothing."""
