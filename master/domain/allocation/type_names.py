"""An operator's names for license types as catalog keys, and back in error messages (L8).

An allocation is judged, kept and shown by keys. A name that means no type stays as it is, and so does a second name of
one type where each type has one number; `domain/estate/contradictions.py` says what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable

from licensemaster.values.toml_lines import FieldPath
from master.domain.allocation.policies import Allocation, Amounts
from master.values import replace

KeyOf = Callable[[str], str]
"""The catalog key that a name means; the name itself where it means none."""


def with_keys(allocation: Allocation, key_of: KeyOf) -> Allocation:
    """Return an allocation with its license types named by catalog keys."""

    def keyed(amounts: Amounts) -> Amounts:
        by_key: dict[str, int] = {}
        for name, amount in amounts.items():
            key = key_of(name)
            by_key[name if key in amounts or key in by_key else key] = amount
        return by_key

    rules = (rule.with_types(keyed, lambda names: tuple(map(key_of, names))) for rule in allocation.rules)
    types = tuple(replace(policy, license_type=key_of(policy.license_type)) for policy in allocation.types)
    return replace(allocation, rules=tuple(rules), types=types)


def as_written(path: FieldPath, allocation: Allocation, key_of: KeyOf) -> FieldPath:
    """Return the path of a field in an allocation with keys as the path in the operator's allocation with names."""
    match path:
        case ("rules", int(index), str(kind), str(key)):
            amounts: Amounts = getattr(allocation.rules[index], kind)
            return (*path[:-1], key if key in amounts else next(name for name in amounts if key_of(name) == key))
    return path
