"""Classes whose methods are compiled later do what the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

import pytest

from licensemaster import data_classes

T = TypeVar("T")
DECORATORS = pytest.mark.parametrize("dataclass", [dataclasses.dataclass, data_classes.dataclass])


def classes(dataclass: Any) -> SimpleNamespace:
    """One of each kind that the project has."""

    @dataclass(frozen=True, slots=True)
    class Frozen:
        derived: int = field(init=False, compare=False)
        first: int
        missing: str = "none"
        made: list[int] = field(default_factory=list, hash=False, repr=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "derived", self.first * 2)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Below(Frozen):
        last: str  # type: ignore[misc]  # mypy heeds no kw_only of a decorator that it does not know
        counted: int = field(default=5, init=False)

    @dataclass(frozen=True)
    class Open:
        first: int = 1

    @dataclass(slots=True)
    class Mutable(Generic[T]):
        first: T
        later: tuple[T, ...] = ()

    @dataclass(eq=False)
    class ByIdentity:
        first: int

    @dataclass(frozen=True, slots=True)
    class OwnEquality:
        first: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, OwnEquality)

    @dataclass(frozen=True, slots=True)
    class Empty:
        pass

    @dataclass(frozen=True, slots=True, order=True)
    class Ordered:
        first: int

    return SimpleNamespace(**{name: kind for name, kind in locals().items() if name != "dataclass"})


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    first: int
    second: str = "b"


@data_classes.dataclass(frozen=True, slots=True)
class Ours:
    first: int
    second: str = "b"


@DECORATORS
def test_objects_are_made_compared_and_shown(dataclass: Any) -> None:
    kinds = classes(dataclass)
    frozen = kinds.Frozen(1, made=[2])
    assert (frozen.first, frozen.missing, frozen.made, frozen.derived) == (1, "none", [2], 2)
    assert kinds.Frozen(1).made is not kinds.Frozen(1).made
    assert frozen == kinds.Frozen(1, "none", [2]) != kinds.Frozen(1)
    assert frozen != kinds.Below(first=1, last="x", made=[2])
    assert hash(frozen) == hash(kinds.Frozen(1, made=[3]))
    assert repr(frozen).endswith("Frozen(derived=2, first=1, missing='none')")
    below = kinds.Below(first=1, last="x")
    assert (below.last, below.counted, below.derived) == ("x", 5, 2)
    assert kinds.Mutable(1) == kinds.Mutable[int](1, ()) != kinds.Mutable(2)
    assert kinds.Empty() == kinds.Empty()
    assert hash(kinds.Empty()) == hash(())
    assert kinds.ByIdentity(1) != kinds.ByIdentity(1)
    assert kinds.OwnEquality(1) == kinds.OwnEquality(2)
    assert hash(kinds.OwnEquality(1)) == hash((1,))
    assert kinds.Ordered(1) < kinds.Ordered(2)
    assert kinds.Open.__match_args__ == ("first",)


@DECORATORS
def test_frozen_ones_stay_as_they_are(dataclass: Any) -> None:
    kinds = classes(dataclass)
    for made in (kinds.Frozen(1), kinds.Below(first=1, last="x"), kinds.Open()):
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'first'"):
            made.first = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'first'"):
            del made.first
    mutable = kinds.Mutable(1)
    mutable.first = 2
    assert mutable.first == 2
    with pytest.raises(TypeError):
        hash(mutable)
    with pytest.raises(AttributeError):
        mutable.other = 1


@DECORATORS
@pytest.mark.parametrize(
    "call",
    [
        lambda kinds: kinds.Frozen(),
        lambda kinds: kinds.Frozen(1, second=2),
        lambda kinds: kinds.Frozen(1, "a", [], 4),
        lambda kinds: kinds.Below(1, "x"),
    ],
)
def test_what_is_no_call_of_it_is_refused_each_time(dataclass: Any, call: Callable[[Any], object]) -> None:
    kinds = classes(dataclass)
    for _ in range(2):
        with pytest.raises(TypeError, match="__init__"):
            call(kinds)


@DECORATORS
def test_the_standard_library_knows_them(dataclass: Any) -> None:
    kinds = classes(dataclass)
    made = kinds.Frozen(1, "a", [2])
    assert dataclasses.replace(made, first=3) == kinds.Frozen(3, "a", [2])
    assert dataclasses.asdict(made) == {"derived": 2, "first": 1, "missing": "a", "made": [2]}
    assert [part.name for part in dataclasses.fields(kinds.Below)][-2:] == ["last", "counted"]
    assert copy.deepcopy(made) == made
    assert copy.copy(kinds.Open(2)) == kinds.Open(2)


@pytest.mark.parametrize("kind", [Standard, Ours])
def test_they_are_pickled(kind: Any) -> None:
    assert pickle.loads(pickle.dumps(kind(1))) == kind(1, "b")


def test_one_that_holds_itself_is_shown() -> None:
    kinds = classes(data_classes.dataclass)
    loop = kinds.Mutable(1)
    loop.first = loop
    assert "first=..." in repr(loop)
