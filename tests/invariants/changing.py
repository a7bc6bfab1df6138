"""Random changes of the project itself, in the same histories: devices become other ones, PBXs other roles.

A change that leaves a port on a virtual machine without its IPVA seat must be refused, and change nothing (D1, D2).
"""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from licensemaster.v1 import allocation_pb2, project_pb2
from tests.invariants.model.allocation import GROUP, KINDS, ModelPolicy, ModelQueue, ModelRules
from tests.invariants.model.sharing import BUDGET_SEAT_HOURS, REFILL_SEAT_HOURS_PER_DAY
from tests.invariants.moving import Moving, masters

RULED = ("berlin", "paris", "vm")
AMOUNTS: tuple[tuple[int | None, int | None], ...] = (
    *((None, None),) * 5,
    (1, None),
    (1, 2),
    (2, None),
    (None, 0),
    (None, 1),
    (None, 2),
)
"""Reserve and maximum."""
OVERDRAFT_SEATS_MAX = 2
POLICIES = {
    "port": st.builds(
        ModelPolicy,
        queue=st.none() | st.builds(ModelQueue, st.integers(1, 6), st.integers(0, 1), st.sampled_from((30, 3600))),
        first_claim_seconds=st.sampled_from((0, 150)),
        overdraft_seats=st.sampled_from((0, 0, OVERDRAFT_SEATS_MAX)),
        block_seats_max=st.sampled_from((0, 3)),
        loan_days_max=st.sampled_from((0, 1)),
    ),
    "uc": st.builds(
        ModelPolicy,
        queue=st.none() | st.builds(ModelQueue, st.integers(1, 4), st.integers(0, 1), st.sampled_from((30, 3600))),
        first_claim_seconds=st.sampled_from((0, 150)),
        overdraft_seats=st.sampled_from((0, 0, 1)),
    ),
}
ROLES = {"standby": project_pb2.PBX_ROLE_STANDBY, "slave": project_pb2.PBX_ROLE_SLAVE}


class Changing(Moving):
    """Operators that change the project."""

    message: project_pb2.Project
    """The project as it was last applied."""

    @rule(
        pbx=st.sampled_from(("berlin", "berlin", "paris", "rome", "spare")),
        dry_run=st.integers(0, 3),
        in_use=st.booleans(),
        at=masters,
    )
    def change_platform(self, pbx: str, dry_run: int, in_use: bool, at: int) -> None:
        """Gateways become virtual machines and gateways again, whoever holds what."""
        if in_use:
            self._acquire(pbx, at, [("port", "anna"), ("port", "ben")])
        self._hand_on()
        platform = "gateway" if self.model.platforms[pbx] == "ipva" else "ipva"
        then = self.model.copy()
        possible = then.turn_into(pbx, platform)
        changed = project_pb2.Project()
        changed.CopyFrom(self.message)
        next(device for device in changed.devices if device.name == f"{pbx}-box").platform = platform
        wire = self._master(at).wire
        if not possible:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                self._call(lambda: wire.apply(changed, dry_run=not dry_run))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "(rules D1, D2)" in (refused.value.details() or "")
            return
        self._call(lambda: wire.apply(changed, dry_run=not dry_run))
        if dry_run:
            self.model, self.message = then, changed

    @initialize(data=st.data())
    def begin_with_policies(self, data: st.DataObject) -> None:
        """So that what is short is shared from the beginning of short histories, too."""
        self._lay_down(data, ModelRules(policies={kind: data.draw(POLICIES[kind]) for kind in KINDS}), at=0)

    @rule(
        data=st.data(), seconds=st.none() | st.sampled_from((20, 61, 200)), other_policies=st.integers(0, 2), at=masters
    )
    def divide_the_pools(self, data: st.DataObject, seconds: int | None, other_policies: int, at: int) -> None:
        """Reserves, maxima, weights, priorities and denials for sites and a group, in place of those before; they may
        end by themselves. What lets PBXs wait, borrow and overdraw stays, or is another from now on.
        """
        policies = self.model.rules.policies
        if not other_policies:
            policies = {kind: data.draw(POLICIES[kind]) for kind in KINDS}
        self._lay_down(data, ModelRules(policies=policies), seconds=seconds, at=at)

    def _lay_down(self, data: st.DataObject, rules: ModelRules, *, at: int, seconds: int | None = None) -> None:
        allocation = allocation_pb2.Allocation()
        allocation.groups.add(name="group", sites=[f"site-{pbx}" for pbx in GROUP])
        for pbx in (*RULED, ""):  # the last one is the group
            sent = allocation.rules.add(name=f"rule-{pbx or 'group'}", site=f"site-{pbx}" if pbx else "")
            sent.group = "" if pbx else "group"
            for kind in KINDS:
                reserve, maximum = data.draw(st.sampled_from(AMOUNTS))
                self._reserve(rules, sent, pbx, kind, (reserve, maximum))
            sent.weight["port"] = rules.weights["port", pbx] = data.draw(st.integers(1, 2))  # so that it says something
            if priority := data.draw(st.sampled_from((None, None, None, -1, 1))):
                sent.priority["port"] = rules.priorities["port", pbx] = priority
            if data.draw(st.integers(0, 5)) == 0:
                sent.serves_emergencies = True
                rules.emergencies |= {pbx} if pbx else {*GROUP}
            if pbx and data.draw(st.integers(0, 5)) == 0 and not sent.reserve:
                sent.deny.append("mypbx")
                rules.denied.add(("mypbx", pbx))
            if seconds is not None:
                rules.ends_at = float(int(self.arena.clock.now) + seconds)
                sent.end_time.FromSeconds(int(rules.ends_at))
        for kind, policy in rules.policies.items():
            allocation.types.append(_sent(kind, policy))
        request = allocation_pb2.ApplyAllocationRequest(
            project=f"projects/{self.project}", allocation=allocation, request_id=str(uuid4())
        )
        try:
            self._call(lambda: self._master(at).wire.allocations.ApplyAllocation(request))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT and "reserve" in (error.details() or ""):
                return  # more is reserved than there is
            raise
        self.model.rules = rules

    def _reserve(
        self,
        rules: ModelRules,
        sent: allocation_pb2.AllocationRule,
        pbx: str,
        kind: str,
        amounts: tuple[int | None, int | None],
    ) -> None:
        reserve, maximum = amounts
        if reserve is not None:
            sent.reserve[kind] = reserve
        if maximum is not None:
            sent.maximum[kind] = maximum
        if pbx:
            rules.reserves |= {(kind, pbx): reserve} if reserve is not None else {}
            rules.maxima |= {(kind, pbx): maximum} if maximum is not None else {}
        else:
            rules.group_reserves |= {kind: reserve} if reserve is not None else {}
            rules.group_maxima |= {kind: maximum} if maximum is not None else {}

    @rule(role=st.sampled_from(tuple(ROLES)), at=masters)
    def change_role_of_the_standby(self, role: str, at: int) -> None:
        """F1: a dedicated one, or a slave that goes on with its own role."""
        changed = project_pb2.Project()
        changed.CopyFrom(self.message)
        next(pbx for pbx in changed.pbxs if pbx.name == "spare").role = ROLES[role]
        self._call(lambda: self._master(at).wire.apply(changed))
        self.message = changed


def _sent(kind: str, policy: ModelPolicy) -> allocation_pb2.TypePolicy:
    sent = allocation_pb2.TypePolicy(
        license_type=kind,
        first_claim_seconds=policy.first_claim_seconds,
        block_seats_max=policy.block_seats_max,
        loan_days_max=policy.loan_days_max,
    )
    if policy.queue is not None:
        sent.queue.length_max = policy.queue.length_max
        sent.queue.express_seats_max = policy.queue.express_seats_max
        sent.queue.patience_seconds = policy.queue.patience_seconds
    if policy.overdraft_seats:
        sent.overdraft.seats = policy.overdraft_seats
        sent.overdraft.budget_seat_hours = BUDGET_SEAT_HOURS
        sent.overdraft.refill_seat_hours_per_day = REFILL_SEAT_HOURS_PER_DAY
    return sent
