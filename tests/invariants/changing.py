"""Random changes of the project itself, in the same histories: devices become other ones, PBXs other roles.

A change that leaves a port on a virtual machine without its IPVA seat must be refused, and change nothing (D1, D2).
"""

from __future__ import annotations

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from licensemaster.v1 import project_pb2
from tests.invariants.moving import Moving, masters

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

    @rule(role=st.sampled_from(tuple(ROLES)), at=masters)
    def change_role_of_the_standby(self, role: str, at: int) -> None:
        """F1: a dedicated one, or a slave that goes on with its own role."""
        changed = project_pb2.Project()
        changed.CopyFrom(self.message)
        next(pbx for pbx in changed.pbxs if pbx.name == "spare").role = ROLES[role]
        self._call(lambda: self._master(at).wire.apply(changed))
        self.message = changed
