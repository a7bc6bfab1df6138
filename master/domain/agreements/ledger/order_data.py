"""Orders as plain data and back: what awaits a payment is in the ledger as it was wanted (P9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, get_args

from msgspec.structs import asdict

from master.domain.agreements.ledger.orders import Order
from master.domain.catalog.subjects import Subject

_ORDERS: dict[str, type[Order]] = {arg.__name__: arg for arg in get_args(Order)}


def order_to_plain(order: Order) -> dict[str, Any]:
    """The order as texts, numbers, truths, lists and tables; `kind` names what it is."""
    return {"kind": type(order).__name__} | {name: _plain(value) for name, value in asdict(order).items()}


def order_from_plain(data: Mapping[str, Any]) -> Order:
    """Read an order back from plain data.

    Raises:
        ValueError: the data is no order.
    """
    kind = _ORDERS.get(str(data.get("kind")))
    if kind is None:
        raise ValueError(f"{data.get('kind')!r} is no kind of order")
    try:
        return kind(**{name: _read(of, data[name]) for name, of in kind.__annotations__.items() if name in data})
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"is no {kind.__name__}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Subject):
        return [value.kind, value.id]
    if isinstance(value, Decimal | date):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return dict(value) if isinstance(value, Mapping) else value


def _read(annotation: str, value: Any) -> Any:
    if annotation.startswith("tuple[Subject"):
        return tuple(Subject(kind, id) for kind, id in value)
    if annotation.startswith("tuple"):
        return tuple(value)
    if annotation.startswith("date"):
        return None if value is None else date.fromisoformat(value)
    return Decimal(value) if annotation == "Decimal" else value
