"""`dataclass` as the standard library has it, but a class's methods are compiled when they are first called.

The standard library writes six functions for a frozen class, as text, and compiles them while the class is made. A
master makes 350 classes and uses a third of them before it answers: compiling was a quarter of its start. Here
`__init__`, `__eq__` and `__hash__` are written and compiled by themselves, when somebody calls them; `repr`, and what
keeps frozen objects from being changed, is shared by all classes. What all of them do is the same, and so are fields,
slots, matching, `replace` and `asdict`, which are the standard library's own. `__init__` of a frozen class with slots
is quicker, as it writes to them directly.

A class with an order is the standard library's whole, so no other may stand below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from dataclasses import dataclass as standard
from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, eq=True, repr=True, **options):
        """The decorator, with the standard library's options."""

        def made(cls):
            if options.get("order"):  # few have one
                return standard(cls, frozen=frozen, eq=eq, repr=repr, **options)
            own = vars(cls)
            cls = standard(cls, init=False, repr=False, eq=False, **options)
            if "__init__" not in own:
                cls.__init__ = _compiled_later(cls, "__init__", _init)
            if repr and "__repr__" not in own:
                cls.__repr__ = _repr
            if eq and "__eq__" not in own:
                cls.__eq__ = _compiled_later(cls, "__eq__", _eq)
            if eq and own.get("__hash__") is None:
                cls.__hash__ = _compiled_later(cls, "__hash__", _hash) if frozen else None
            if frozen:
                cls.__setattr__, cls.__delattr__ = _refuse_to_set, _refuse_to_delete
            if frozen and options.get("slots"):
                cls.__setstate__ = _set_state
            return cls

        return made if cls is None else made(cls)


Scope = dict[str, Any]
"""What a text that is compiled finds by name."""


def _compiled_later(cls: Any, name: str, write: Callable[[Any, Scope], str]) -> Callable[..., Any]:
    """A method that puts the compiled one into its own place when it is first called."""

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        scope: Scope = {}
        exec(write(cls, scope), scope)
        compiled = scope[name]
        compiled.__qualname__ = f"{cls.__qualname__}.{name}"
        setattr(cls, name, compiled)
        return compiled(self, *arguments, **named)

    return method


def _init(cls: Any, scope: Scope) -> str:
    """Assign every field; the slots of a frozen class directly, as it refuses to be assigned to."""
    is_frozen = cls.__setattr__ is _refuse_to_set
    positional, named, body = ["self"], ["*"], ["pass"]
    for field in fields(cls):
        name, slot = field.name, getattr(cls, field.name, None)
        default, value = _default_and_value(field, scope)
        if field.init:
            (named if field.kw_only else positional).append(f"{name}{default}")
        elif not default:
            continue
        if not is_frozen:
            body.append(f"self.{name} = {value}")
        elif isinstance(slot, MemberDescriptorType):
            scope[f"__set_{name}"] = slot.__set__
            body.append(f"__set_{name}(self, {value})")
        else:
            scope["__set"] = object.__setattr__
            body.append(f"__set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    return _text("__init__", positional + (named if len(named) > 1 else []), body)


def _default_and_value(field: Field[Any], scope: Scope) -> tuple[str, str]:
    """What stands behind a parameter, and what its field becomes."""
    name = field.name
    if field.default is not MISSING:
        scope[f"__default_{name}"] = field.default
        return f"=__default_{name}", name if field.init else f"__default_{name}"
    if field.default_factory is MISSING:
        return "", name
    scope["__missing"], scope[f"__make_{name}"] = MISSING, field.default_factory
    made = f"__make_{name}()"
    return "=__missing", f"{made} if {name} is __missing else {name}" if field.init else made


def _eq(cls: Any, scope: Scope) -> str:
    compared = [field.name for field in fields(cls) if field.compare]
    ours, theirs = (_tuple_of(of, compared) for of in ("self", "other"))
    different = "other.__class__ is not self.__class__"
    return _text("__eq__", ["self", "other"], [f"return NotImplemented if {different} else {ours} == {theirs}"])


def _hash(cls: Any, scope: Scope) -> str:
    hashed = [field.name for field in fields(cls) if (field.compare if field.hash is None else field.hash)]
    return _text("__hash__", ["self"], [f"return hash({_tuple_of('self', hashed)})"])


def _tuple_of(of: str, names: Iterable[str]) -> str:
    return f"({''.join(f'{of}.{name}, ' for name in names)})"


def _text(name: str, parameters: Iterable[str], body: Iterable[str]) -> str:
    return f"def {name}({', '.join(parameters)}):\n" + "".join(f" {line}\n" for line in body)


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"


def _refuse_to_set(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _set_state(self: object, state: Iterable[dict[str, Any] | None]) -> None:
    """Fill a copy: with what has no slot, and with what has one."""
    for part in state:
        for name, value in (part or {}).items():
            object.__setattr__(self, name, value)
