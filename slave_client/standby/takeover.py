"""Takes over for another PBX: an ordinary client whose lease is that PBX's, opened by taking it over.

Decides: what a takeover asks for and what its refusal means, and when the seats are carried on the strength of a
standby lease because no master answers. Leaves to others: keeping standby leases (`standby_leases`), all else about a
lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from licensemaster.api_enums import StandbyProblemKind
from licensemaster.signing.verified_lease import StandbyLease
from licensemaster.v1 import lease_pb2, standby_pb2
from slave_client.client_parts import ClientParts
from slave_client.connection.background import Background
from slave_client.connection.client_state import ClientState
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.holdings.local_seats import LocalSeats
from slave_client.lease.lease_keeper import Opened
from slave_client.standby.standby_leases import StandbyLeases
from slave_client.values.config import ClientConfig
from slave_client.values.messages import seat_from_want
from slave_client.values.seats import Want
from slave_client.values.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverProblem:
    """A reason why a takeover is refused; `missing` is the number of licenses or seats that are short."""

    kind: StandbyProblemKind | None
    """None where this version of the client does not know it."""
    message: str
    missing: int
    retry_at: datetime | None = None
    """When to ask again, where the problem may pass with time; else None."""


class TakeoverError(Exception):
    """The seats of another PBX cannot be carried now. `problems` are the master's; empty where none answered.

    `retry_at` says when to ask again, where the only reason is that the other PBX may be alive; else it is None.
    """

    def __init__(self, message: str, problems: Sequence[TakeoverProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
        moments = [problem.retry_at for problem in self.problems if problem.retry_at is not None]
        self.retry_at = max(moments) if moments and len(moments) == len(self.problems) else None


class Takeover:
    """The takeover by which one client gets the lease of another PBX."""

    def __init__(
        self,
        *,
        standby: ClientConfig,
        primary: str,
        reason: str,
        force: bool,
        own: ClientState,
        standby_leases: StandbyLeases,
    ) -> None:
        self._standby = standby
        self._primary = primary
        self._reason = reason
        self._force = force
        self._own = own
        self._standby_leases = standby_leases
        self._carried_since: float | None = None
        self._epoch = 0
        self._discarding = Background()
        self.problems: tuple[TakeoverProblem, ...] = ()
        """The problems of the last refusal."""
        self.document: StandbyLease | None = None
        """The standby lease that the client relies on until a master answers."""

    @property
    def waits(self) -> bool:
        """True where the last refusal may pass by itself: its only reason is that the other PBX may be alive."""
        return bool(self.problems) and all(problem.retry_at is not None for problem in self.problems)

    def find_document(self) -> tuple[StandbyLease, float] | None:
        """Find and rely on the standby lease; return it and its end in steady seconds, None without one."""
        lease_and_end = self._standby_leases.find(self._primary)
        if lease_and_end is not None:
            self.document = lease_and_end[0]
        return lease_and_end

    def config(self, trusted_keys: tuple[bytes, ...]) -> ClientConfig:
        """Return the configuration of the client that carries the seats."""
        state_dir, name = self._standby.state_dir, self._primary.rpartition("/")[2]
        return replace(
            self._standby,
            pbx=self._primary,
            state_dir=state_dir / f"carrying-{name}" if state_dir is not None else None,
            device_dir=None,  # it has not that PBX's device
            trusted_keys=trusted_keys,
        )

    async def decide(self, carrying: ClientState, wait_seconds: float) -> None:
        """Wait until the seats are carried, under the lease or under the standby lease.

        `carrying` is the state of the client that carries the seats; `wait_seconds` is how long to wait for a refusal
        to pass that may pass by itself. Raises TakeoverError where the seats cannot be carried.
        """
        await carrying.judged.wait()
        if self.waits:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await carrying.wait_for(_DECIDED)
        if carrying.epoch is not None:  # granted at the last moment: what is left to be done takes no time
            await carrying.wait_for(_DECIDED | {State.EXPIRED})
        if self.problems or carrying.state not in (State.CONNECTED, State.OFFLINE):
            message = "; ".join(problem.message for problem in self.problems) or (
                f"no master has let it take over, and no standby lease for {self._primary} is in force: {carrying.why}"
            )
            raise TakeoverError(message, self.problems)

    def entered(self, state: State, *, now: float, epoch: int) -> None:
        """Note a new state of the client that carries the seats; `now` is in seconds of the steady clock.

        Offline, seats are used under the standby lease from now on. Connected, the lease with `epoch` was taken over,
        and the standby lease is discarded. Expired or fenced, no seat is in use any more.
        """
        if state is State.OFFLINE:
            if self.document is not None and self._carried_since is None:
                self._carried_since = now
        elif state in (State.CONNECTED, State.EXPIRED, State.FENCED):
            if state is State.CONNECTED:
                self._epoch = epoch
            else:
                self._standby_leases.released(self._primary, self._epoch)
            self._carried_since = self.document = None
            self._discarding.run(self._standby_leases.discard(self._primary))

    async def finish(self) -> None:
        """Wait until the discarded standby lease is removed from disk."""
        await self._discarding.finish()

    def opener(self, parts: ClientParts, *, instance_id: str) -> TakeoverOpener:
        """Return the opener of the lease for the client with these parts."""
        return TakeoverOpener(self, parts, instance_id=instance_id)

    def request(
        self, *, request_id: str, instance_id: str, local_seats: LocalSeats, now: float
    ) -> lease_pb2.TakeOverLeaseRequest:
        """Make the takeover request; raises MasterError while the standby has no lease of its own."""
        if self._own.epoch is None:
            raise MasterError(FailureKind.UNREACHABLE, f"{self._standby.pbx} has no lease of its own yet")
        request = lease_pb2.TakeOverLeaseRequest(
            standby=self._standby.pbx,
            standby_epoch=self._own.epoch,
            primary=self._primary,
            instance_id=instance_id,
            request_id=request_id,
            software_version=self._standby.software_version,
            reason=self._reason,
            force=self._force and not self._epoch,
        )
        if self.document is not None and self._carried_since is not None:
            carried = request.carried_offline
            carried.signed.CopyFrom(self.document.verified.document)
            carried.carried_seconds = max(now - self._carried_since, 0.0)
            for key, seats in local_seats.in_use().items():
                carried.in_use.add(license_type=key, seats=seats)
        return request

    def refused(self, problems: Sequence[standby_pb2.StandbyProblem]) -> MasterError:
        """Note a refusal; return its MasterError: FENCED (another has the seats), TOO_SOON (ask again), or DENIED."""
        known: dict[int, StandbyProblemKind] = {kind.value: kind for kind in StandbyProblemKind}
        self.problems = tuple(
            TakeoverProblem(
                kind=known.get(problem.kind),
                message=problem.message,
                missing=problem.missing,
                retry_at=problem.retry_time.ToDatetime(UTC) if problem.HasField("retry_time") else None,
            )
            for problem in problems
        )
        message = "; ".join(problem.message for problem in self.problems)
        if self.waits and self._carried_since is None and not self._epoch:
            return MasterError(FailureKind.TOO_SOON, message, reason=REFUSED, retry_after_seconds=_ASK_AGAIN_SECONDS)
        lost = any(problem.kind in _SOMEBODY_ELSES for problem in self.problems)
        return MasterError(FailureKind.FENCED if lost else FailureKind.DENIED, message, reason=REFUSED)


class TakeoverOpener:
    def __init__(self, takeover: Takeover, parts: ClientParts, *, instance_id: str) -> None:
        self._takeover = takeover
        self._masters, self._local_seats, self._clock = parts.masters, parts.local_seats, parts.clock
        self._instance_id = instance_id

    @property
    def claims_first(self) -> bool:
        """True where seats are in use that the master counts under other names."""
        return self._takeover.document is not None and bool(self._local_seats.held)

    async def open(self, request_id: str, wants: Sequence[Want]) -> Opened:
        """Take the lease over; raises MasterError, of the kind FENCED where another PBX has the seats. The wanted
        seats are asked for afterwards.
        """
        request = self._takeover.request(
            request_id=request_id, instance_id=self._instance_id, local_seats=self._local_seats, now=self._clock.now()
        )
        response = await self._masters.take_over_lease(request)
        if response.problems:
            raise self._takeover.refused(response.problems)
        self._takeover.problems = ()
        return Opened(lease=response.lease, notices=response.notices, seats_held=response.seats_held)


class OwnOpener:
    """Opens the PBX's own lease."""

    claims_first = False

    def __init__(
        self, parts: ClientParts, *, instance_id: str, proof: Callable[[], lease_pb2.LeaseProof | None]
    ) -> None:
        self._config, self._masters = parts.config, parts.masters
        self._clock, self._loans = parts.clock, parts.loans
        self._instance_id = instance_id
        self._proof = proof

    async def open(self, request_id: str, wants: Sequence[Want]) -> Opened:
        """Open the PBX's lease; raises MasterError. Where the master calls the request malformed, the seats may be the
        reason: the lease is opened without them, and they are asked for afterwards.
        """
        request = lease_pb2.OpenLeaseRequest(
            pbx=self._config.pbx,
            instance_id=self._instance_id,
            request_id=request_id,
            software_version=self._config.software_version,
            proof=self._proof(),
            loans=self._loans.to_show(self._clock.now())[:_LOANS_MAX],
            seats=[seat_from_want(want) for want in wants],
        )
        try:
            response = await self._masters.open_lease(request)
        except MasterError as failure:
            if not wants or failure.kind is not FailureKind.REJECTED:
                raise
            request.ClearField("seats")
            response = await self._masters.open_lease(request)
        return Opened(
            lease=response.lease,
            notices=response.notices,
            seats_held=response.seats_held,
            offers=response.standby_leases,
            results=response.results,
            loans=response.loans,
        )


REFUSED = "TAKEOVER_REFUSED"
_LOANS_MAX = 100
_DECIDED = frozenset({State.CONNECTED, State.OFFLINE, *(state for state in State if state.is_final)})
_ASK_AGAIN_SECONDS = 1.0
"""Seconds between two questions whether the other PBX is gone."""
_SOMEBODY_ELSES = frozenset(
    {StandbyProblemKind.PRIMARY_ACTIVE, StandbyProblemKind.CARRIED_BY_ANOTHER, StandbyProblemKind.NOT_A_PAIR}
)
