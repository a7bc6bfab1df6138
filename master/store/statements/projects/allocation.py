"""How an operator divides a project's pools, kept as one document with the project."""

from __future__ import annotations

import json
from typing import Any

from msgspec import to_builtins

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import (
    NO_ALLOCATION,
    Allocation,
    AllocationRule,
    OverdraftPolicy,
    QueuePolicy,
    SiteGroup,
    TypePolicy,
)
from master.store.backends.database import Tx


def load_allocation(tx: Tx, project_id: int) -> Allocation:
    """What was laid down last; nothing where nothing ever was."""
    rows = tx.rows("SELECT document FROM allocation WHERE project_id = ?1", project_id)
    if not rows:
        return NO_ALLOCATION
    document: dict[str, Any] = json.loads(rows[0][0])
    return Allocation(
        groups=tuple(SiteGroup(name=group["name"], sites=tuple(group["sites"])) for group in document["groups"]),
        rules=tuple(map(_rule, document["rules"])),
        types=tuple(map(_type, document["types"])),
    )


def write_allocation(tx: Tx, project_id: int, allocation: Allocation) -> None:
    """Replace what was laid down before."""
    parts = {
        "groups": to_builtins(allocation.groups),
        "rules": to_builtins(allocation.rules),
        "types": to_builtins(allocation.types),
    }
    tx.rows(
        "INSERT INTO allocation (project_id, document) VALUES (?1, ?2)"
        " ON CONFLICT (project_id) DO UPDATE SET document = excluded.document",
        project_id,
        json.dumps(parts, separators=(",", ":"), ensure_ascii=False),
    )


def _rule(stored: dict[str, Any]) -> AllocationRule:
    lists = {key: tuple(stored[key]) for key in ("allow", "deny")}
    kinds = tuple(map(HolderKind, stored["holder_kinds"]))
    return AllocationRule(**{**stored, **lists, "holder_kinds": kinds})


def _type(stored: dict[str, Any]) -> TypePolicy:
    queue, overdraft = stored["queue"], stored["overdraft"]
    parts = {
        "queue": QueuePolicy(**queue) if queue is not None else None,
        "overdraft": OverdraftPolicy(**overdraft) if overdraft is not None else None,
    }
    return TypePolicy(**{**stored, **parts})
