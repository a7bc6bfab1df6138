"""Everything public that a PBX maker calls with a value of another type says so, and does nothing."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slave_client import (
    BlockingSlaveClient,
    ClientConfig,
    ConfigError,
    DeviceKey,
    HolderKind,
    Returned,
    SlaveClient,
    State,
    TlsFiles,
    Want,
)
from tests.slave_client.conftest import client_config
from tests.support.limits import HANG_SECONDS

_MADE_BY_CALLERS = (ClientConfig, TlsFiles, Want, SlaveClient, BlockingSlaveClient)
_NEVER_RAISES = "call_allowed"
_CONFIG = client_config("127.0.0.1:1")


class Other:
    """Of no type that anything takes."""


def _methods() -> Iterator[Any]:
    for kind in (SlaveClient, DeviceKey):
        for name, method in inspect.getmembers(kind, callable):
            if not name.startswith("_") and name != _NEVER_RAISES:
                yield method


def _parameters() -> Iterator[tuple[str, Any, str]]:
    """Every parameter of everything public: what takes it, and its name."""
    for taking in (*_MADE_BY_CALLERS, *_methods()):
        for name in inspect.signature(taking).parameters:
            is_of_tests = name in ("clock", "chance", "takeover")
            if name != "self" and not is_of_tests:
                yield f"{taking.__qualname__} {name}", taking, name


def _call(taking: Any, wrong: str) -> Any:
    """Call it with something for each parameter that has no default, and of no type for the wrong one."""
    want = Want("port", HolderKind.USER, "4711")
    given = {
        "config": _CONFIG,
        "addresses": ("a:1",),
        "pbx": "projects/acme/pbxs/berlin",
        "software_version": "12r1",
        **dict.fromkeys(("ca", "certificate", "key", "folder"), Path("nowhere")),
        "license_type": "port",
        "holder_kind": HolderKind.USER,
        "holder": "4711",
        "want": want,
        "wants": (want,),
        "primary": "projects/acme/pbxs/hq",
        "states": State.CONNECTED,
    }
    positional, named = list[Any](), dict[str, Any]()
    for name, parameter in inspect.signature(taking).parameters.items():
        value = Other() if name == wrong else given.get(name)
        if name == "self":
            positional.append(DeviceKey if "DeviceKey" in taking.__qualname__ else SlaveClient(_CONFIG))
        elif parameter.kind is parameter.VAR_POSITIONAL:
            positional.append(value)
        elif name == wrong or parameter.default is parameter.empty:
            named[name] = value
    return taking(*positional, **named)


@pytest.mark.parametrize(("taking", "name"), [pytest.param(*rest, id=what) for what, *rest in _parameters()])
def test_a_value_of_no_type_is_refused_by_name(taking: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: <.*Other object at .* is no .*; write {name}="):
        _call(taking, name)


async def test_who_gives_something_else_harms_nobody_else() -> None:
    """What is no seat never gets among the seats of others, which go out with the next call."""
    async with SlaveClient(_CONFIG) as client:
        for give in (client.return_seats, client.acquire_many, client.sync):
            with pytest.raises(ValueError, match="wants: 'port' is no list of such as Want"):
                await give("port")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match=r"wants\[0\]: 'port' is no Want"):
                await give(["port"])  # type: ignore[list-item]
        async with asyncio.timeout(HANG_SECONDS):
            [outcome] = await client.return_seats(iter([Want("port", HolderKind.USER, "4711")]))
        assert isinstance(outcome, Returned)


def test_the_client_for_threads_looks_at_the_same() -> None:
    with BlockingSlaveClient(_CONFIG) as client:
        with pytest.raises(ValueError, match="want: 'port' is no Want"):
            client.return_seat("port")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="states: none is named"):
            client.wait_for_state()
        with pytest.raises(ConfigError, match=r"pbx must read projects/.*, not '../../etc'"):
            client.take_over("../../etc")
        assert isinstance(client.return_seat(Want("port", HolderKind.USER, "4711")), Returned)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("call_timeout_seconds", 1e30, "call_timeout_seconds must be above 0, and at most 86,400"),
        ("backoff_max_seconds", 1e9, "backoff_max_seconds must be above 0, and at most 86,400"),
        ("channel_options", (("grpc.max_send_message_length", 10**30),), "channel_options: a number must be at most"),
        ("caller", "Jürgen's PBX", "caller must be at most 500 printable ASCII characters, not .Jürgen"),
    ],
)
def test_what_grpc_cannot_carry_is_refused_at_once(field: str, value: object, says: str) -> None:
    """A client made with such never reached a master."""
    with pytest.raises(ConfigError, match=says):
        client_config("127.0.0.1:1", **{field: value})  # type: ignore[arg-type]
