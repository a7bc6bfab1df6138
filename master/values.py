"""What values of the master are made of: frozen, equal where their fields are, named and typed ([ADR 45])."""

from __future__ import annotations

from typing import TYPE_CHECKING, dataclass_transform

from msgspec import Struct, field

if TYPE_CHECKING:
    from dataclasses import replace  # noqa: TID251  # the same for values, and mypy knows their fields
else:
    from msgspec.structs import replace

__all__ = ["Value", "field", "replace"]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value(Struct, frozen=True):
    """The base of all values: like a frozen data class, but made and compared by C, and without code of its own."""
