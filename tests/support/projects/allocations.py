"""Allocations for tests, written as short as they can be."""

from __future__ import annotations

from uuid import uuid4

from licensemaster.v1 import allocation_pb2
from tests.support.masters import PROJECT, Wire

Rule, Group, Policy = allocation_pb2.AllocationRule, allocation_pb2.SiteGroup, allocation_pb2.TypePolicy

Part = allocation_pb2.AllocationRule | allocation_pb2.SiteGroup | allocation_pb2.TypePolicy


def allocation(
    *parts: Part,
) -> allocation_pb2.Allocation:
    """An allocation of some groups, rules and policies; rules without a name get one by their number."""
    message = allocation_pb2.Allocation()
    for part in parts:
        match part:
            case allocation_pb2.SiteGroup():
                message.groups.append(part)
            case allocation_pb2.TypePolicy():
                message.types.append(part)
            case _:
                message.rules.append(part)
                message.rules[-1].name = part.name or f"rule-{len(message.rules)}"
    return message


async def lay_down(
    wire: Wire,
    *parts: Part,
    dry_run: bool = False,
    expected_revision: int = 0,
) -> allocation_pb2.ApplyAllocationResponse:
    """Apply an allocation of these parts, in place of any other."""
    return await wire.allocations.ApplyAllocation(
        allocation_pb2.ApplyAllocationRequest(
            project=f"projects/{PROJECT}",
            allocation=allocation(*parts),
            dry_run=dry_run,
            request_id=str(uuid4()),
            expected_revision=expected_revision,
        )
    )
