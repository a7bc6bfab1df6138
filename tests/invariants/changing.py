"""Random changes of the project itself, in the same histories: devices become other ones, PBXs other roles.

A change that leaves a port on a virtual machine without its IPVA seat must be refused, and change nothing (D1, D2).
"""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from licensemaster.v1 import allocation_pb2, project_pb2
from tests.invariants.model_allocation import GROUP, KINDS, ModelRules
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

    @rule(data=st.data(), seconds=st.none() | st.sampled_from((20, 61, 200)), at=masters)
    def divide_the_pools(self, data: st.DataObject, seconds: int | None, at: int) -> None:
        """Reserves, maxima and denials for sites and a group, in place of those before; they may end by themselves."""
        rules = ModelRules()
        allocation = allocation_pb2.Allocation()
        allocation.groups.add(name="group", sites=[f"site-{pbx}" for pbx in GROUP])
        for pbx in (*RULED, ""):  # the last one is the group
            sent = allocation.rules.add(name=f"rule-{pbx or 'group'}", site=f"site-{pbx}" if pbx else "")
            sent.group = "" if pbx else "group"
            for kind in KINDS:
                reserve, maximum = data.draw(st.sampled_from(AMOUNTS))
                self._reserve(rules, sent, pbx, kind, (reserve, maximum))
            sent.weight["port"] = 1  # so that it says something
            if pbx and data.draw(st.integers(0, 5)) == 0 and not sent.reserve:
                sent.deny.append("mypbx")
                rules.denied.add(("mypbx", pbx))
            if seconds is not None:
                rules.ends_at = float(int(self.arena.clock.now) + seconds)
                sent.end_time.FromSeconds(int(rules.ends_at))
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
