"""What one client keeps over a restart: its identity, its signed lease and loans, and the seats that it holds.

Decides: what in the state directory is relied on after a start, which keys a lease or loan may be signed with, and what
is written. Loans are in one file with the lease and the seats: one write has all that a restart needs.
Leaves to others: when it is written (`state_writer`), and the format (`state_dir`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

from licensemaster.api_enums import HolderKind
from licensemaster.signing.verified_lease import (
    LeaseVerificationError,
    SignedTerms,
    VerifiedLease,
    WallClock,
    proof_of,
    remaining_after_restart,
)
from licensemaster.v1 import document_pb2, lease_pb2
from slave_client.client_parts import ClientParts
from slave_client.connection.clocks import reading_of
from slave_client.holdings.loans import RunningLoan
from slave_client.holdings.numbered_seats import Numbers
from slave_client.lease.lease_keeper import Memory
from slave_client.standby.takeover import Takeover
from slave_client.storage.kept_lease import KeptLease, KeptLoan
from slave_client.storage.state_dir import Identity, StateDir, recover
from slave_client.storage.state_writer import OldStateStaysError, StateWriter
from slave_client.values.notices import NoticeKind
from slave_client.values.states import State

_AGING_SECONDS = 60.0
_BLOCKS_MAX = 100
_KINDS = frozenset(kind.value for kind in HolderKind)


class KeptState:
    """The state of one client on disk; without a state directory, the same state in memory alone.

    `takeover` is set where the client carries the seats of another PBX, and None for a PBX's own client.
    """

    def __init__(self, parts: ClientParts, *, takeover: Takeover | None) -> None:
        self._config, self._clock = config, clock = parts.config, parts.clock
        self._client_state, self._local_seats, self._board = parts.client_state, parts.local_seats, parts.board
        self._loans = parts.loans
        self._takeover = takeover
        self._block_serial = 0
        self._wall_passed: float | None = None
        """What the wall clock has read already, in seconds since 1970, where it alone says how long the kept lease and
        loans last: from a restart of the machine until a master answers. None where the steady clock says that."""
        self._identity = Identity(pbx=config.pbx, instance_id=uuid.uuid4().hex)
        self.state_dir = StateDir(config.state_dir) if config.state_dir else None
        self.state_writer = StateWriter(
            snapshot=self._snapshot, problem=self._tell_problem, every_seconds=config.save_every_seconds, clock=clock
        )

    @property
    def instance_id(self) -> str:
        """The name of this installation, which distinguishes a restart from a copy."""
        return self._identity.instance_id

    def trusted_keys(self) -> tuple[bytes, ...]:
        """Return the raw Ed25519 keys that a lease may be signed with: those configured, else the one seen first."""
        if self._config.trusted_keys:
            return self._config.trusted_keys
        return (self._identity.pinned_key,) if self._identity.pinned_key else ()

    async def resume(self) -> Memory:
        """Load what can be relied on from the state directory; return whether the seats from before are known.

        Raises FolderInUseError: another client uses the directory, or the directory that it was copied from.
        """
        if self.state_dir is None:
            self._rely_on_standby_lease()
            return Memory.BLANK
        claiming = asyncio.ensure_future(asyncio.to_thread(self.state_dir.claim))
        try:
            await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.wait((claiming,))  # what was claimed by then is let go of
            raise
        recovered = await asyncio.to_thread(
            recover, self.state_dir, pbx=self._config.pbx, trusted_keys=self._config.trusted_keys
        )
        if recovered.problems:
            self._board.raise_own(NoticeKind.STATE_SET_ASIDE, " ".join(recovered.problems))
        if recovered.identity is not None:
            self._identity = recovered.identity
        self.state_dir.claim_identity(self._identity.instance_id)
        if recovered.lease is not None:
            self._rely_on(recovered.lease)
        else:
            self._rely_on_standby_lease()
        self.state_writer.begin(self.state_dir)
        if recovered.identity is None:
            await self.state_writer.save_identity(self._identity)
        return Memory.BLANK if recovered.identity is None or recovered.problems else Memory.INTACT

    async def lease_came(self, verified: VerifiedLease) -> None:
        """Keep a lease whose signature was verified, and pin its key where no keys are configured."""
        if not self._config.trusted_keys and self._identity.pinned_key != verified.public_key:
            self._identity = replace(self._identity, pinned_key=verified.public_key)
            await self.state_writer.save_identity(self._identity)
        self._wall_passed = None
        self._board.clear_own(NoticeKind.CLOCK_SET_BACK)
        self._local_seats.numbers.go_by(_numbers_of(verified))
        if verified.block_serial or self._block_serial or not self.state_writer.keeps_lease:
            await self.state_writer.save_now()
            self._block_serial = verified.block_serial if self.state_writer.is_saved else 0
        else:
            self.state_writer.changed()

    async def loans_came(self, documents: Sequence[document_pb2.SignedDocument], sent: float) -> None:
        """Rely on the loans in the answer to a call made at `sent`, and on no others, and keep them on disk."""
        try:
            are_new = self._loans.receive(documents, pbx=self._config.pbx, trusted_keys=self.trusted_keys(), sent=sent)
        except LeaseVerificationError as failure:
            self._board.raise_own(NoticeKind.LOAN_NOT_TRUSTED, f"{failure}; the loans from before stay")
            return
        self._board.clear_own(NoticeKind.LOAN_NOT_TRUSTED)
        if are_new:
            await self.state_writer.save_now()

    def block_uses(self) -> tuple[list[lease_pb2.BlockUse], int]:
        """Return the uses of seats by number that the next renewal reports, and the serial of the blocks on disk."""
        uses = [
            lease_pb2.BlockUse(license_type=use.license_type, seats=use.seats, used=use.used, acquired=use.acquired)
            for use in self._local_seats.numbers.uses()
        ]
        return uses[:_BLOCKS_MAX], self._block_serial

    def proof(self) -> lease_pb2.LeaseProof | None:
        """Return the signed lease and the seats in use, as proof for a restored master; None without a lease."""
        verified = self._client_state.verified
        return None if verified is None else proof_of(verified, self._local_seats.in_use())

    async def age(self) -> None:
        """Every minute without a master, write to disk how long the lease still lasts, so that a clock that is set back
        brings no time back, and end what is over by a clock that was set forward since the machine was restarted.
        """
        while not self._client_state.state.is_final:
            await self._clock.sleep(_AGING_SECONDS)
            self._look_at_wall_clock()
            if self._client_state.state in (State.OFFLINE, State.BORROWING):
                self.state_writer.changed()

    async def leave(self) -> None:
        """Write what is still to be written, and release the state directory."""
        await self.state_writer.stop()
        if self.state_dir is not None:
            self.state_dir.leave()

    def _rely_on_standby_lease(self) -> None:
        lease_and_end = self._takeover.find_document() if self._takeover is not None else None
        if lease_and_end is not None:
            lease, end = lease_and_end
            self._local_seats.allow(lease.seats)
            self._client_state.hold(lease.verified, end=end)

    def _look_at_wall_clock(self) -> None:
        if self._wall_passed is None or (verified := self._client_state.verified) is None:
            return
        now, wall = self._clock.now(), self._clock.wall()
        self._loans.end_by_wall_clock(now=now, wall=wall)
        self._client_state.end_by(now + verified.end_time - wall)
        if wall >= self._wall_passed:
            self._board.clear_own(NoticeKind.CLOCK_SET_BACK)

    def _rely_on(self, kept: KeptLease) -> None:
        reading = reading_of(self._clock)
        now = reading.steady

        def remaining_of(signed: SignedTerms, saved: float) -> tuple[float, WallClock]:
            return remaining_after_restart(signed, saved=kept.saved, saved_remaining_seconds=saved, now=reading)

        remaining, clock = remaining_of(kept.verified, kept.remaining_seconds)
        loans = [(loan.verified, remaining_of(loan.verified, loan.remaining_seconds)[0]) for loan in kept.loans]
        self._loans.restore(RunningLoan(loan, now + left) for loan, left in loans)
        if clock is not WallClock.NOT_ASKED:
            self._wall_passed = max(kept.saved.wall, kept.verified.issue_time)
        if clock is WallClock.SET_BACK:
            left = max([remaining, *(left for _, left in loans)])
            behind = "the clock reads less than before the machine was restarted, or than the master's did"
            self._board.raise_own(NoticeKind.CLOCK_SET_BACK, f"{behind}; what is kept lasts {left:.0f} s at most")
        self._local_seats.restore(held=kept.held, idle=kept.idle, awaited=kept.awaited)
        self._local_seats.numbers.go_by(_numbers_of(kept.verified))
        self._client_state.hold(kept.verified, end=now + remaining)

    def _snapshot(self) -> KeptLease | None:
        client_state, reading = self._client_state, reading_of(self._clock)
        now = reading.steady
        verified, document = client_state.verified, self._takeover.document if self._takeover is not None else None
        if verified is None or (document is not None and verified is document.verified):
            return None
        return KeptLease(
            verified=verified,
            remaining_seconds=client_state.lease_remaining_seconds(),
            saved=reading if self._wall_passed is None else replace(reading, boot=""),
            held=self._local_seats.held,
            idle=self._local_seats.idle,
            awaited=self._local_seats.places,
            loans=tuple(KeptLoan(loan.verified, loan.end - now) for loan in self._loans.running(now)),
        )

    def _tell_problem(self, problem: OSError | None) -> None:
        message = f"{self._config.state_dir} cannot be written ({problem}); after a restart nothing will be known"
        if isinstance(problem, OldStateStaysError):
            message = (
                f"{self._config.state_dir} can be neither written nor removed ({problem}); a restart without a master"
                " goes by what is there, and may use seats that were returned since"
            )
        self._board.set_own(NoticeKind.STATE_NOT_SAVED, message if problem is not None else None)


def _numbers_of(verified: VerifiedLease) -> Numbers:
    """Return how many seats a signed lease lets this PBX use by number."""
    seats = {license_type: count for license_type, count, _ in verified.blocks}
    kinds = {license_type: {*map(HolderKind, holders & _KINDS)} for license_type, _, holders in verified.blocks}
    return Numbers(seats, kinds, verified.types_held | seats.keys())
