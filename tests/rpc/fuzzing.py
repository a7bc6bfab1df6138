"""Every RPC that a master serves, and messages for it made by chance out of what the protos say it takes."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from master.rpc.server.reflection import V1
from master.rpc.server.server import SERVICES
from tests.rpc.failures import seen
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT

NAME: Final = f"projects/{PROJECT}"
_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_LATEST: Final = 253_402_300_799
_INTEGERS: Final = (0, 1, 2, 3, 5, 100, 1000, 65_536)
_EXTREMES: Final = (-1, -_INT32 - 1, _INT32, 10**18, _INT64, -_INT64 - 1, _LATEST, _LATEST + 1, 1_800_000_000)
_FLOATS: Final = (0.0, -0.0, 1.0, -1.0, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
_NAMES: Final = (
    PROJECT,
    NAME,
    f"{NAME}/pbxs/berlin",
    f"{NAME}/pbxs/paris",
    f"{NAME}/devices/hq-box",
    f"{NAME}/webhooks/siem",
    "berlin",
    "hq-box",
    "hq",
    "port",
    "PBX-Port12",
    "innovaphone",
    "14r1",
    "2026-03-01",
    "12.50",
    "request-1",
    "Europe/Berlin",
    "https://hooks.invalid/in",
)
_NASTY: Final = (
    "",
    "\0",
    "a\0b",
    "\ud7ff\ue000",
    "\u202eabc",
    "\u2028",
    "\x1b[2J",
    "'; drop table seat; --",
    "%s%n{0}$1?1:x",
    "..",
    "../../etc",
    "/",
    "projects/",
    f"{NAME}/pbxs/",
    "²",
    "٣",
    "\U0001d7d9",
    "-1",
    "1e9",
    "9" * 19,
    "9" * 5000,
    "0001-01-01",
    "9999-12-31",
    "2026-02-30",
    "9999-99-99",
    "[" * 2000,
    "a" + ".a" * 3000,
    "-----BEGIN CERTIFICATE-----" * 50,
    "x" * 100_000,
    "é" * 129,
    "😀" * 500,
)
_TOKENS: Final = (
    '[1,"4711","port",1]',
    '[0,"","",0]',
    '[2147483647,"a","b",2147483647]',
    '[2147483648,"a","b",1]',
    '[-1,"a","b",-1]',
    '[true,"a","b",false]',
    '[1,"\\u0000","b",1]',
    '[1,"\\ud800","b",1]',
    '[1.0,"a","b",1e999]',
    "[1]",
    "{}",
    "null",
    "1",
    "9223372036854775807",
    "9223372036854775808",
    "999999999999999999",
    "\u0661",
    "device/hq-box",
    "license/\u2028",
    "berlin",
)
_TEXTS: Final = (
    '[prices]\ncatalog = "innovaphone"\ncurrency = "EUR"\ncredit = "1.20"\n',
    "a = 0x" + "f" * 5000,
    "a = " + "1" * 5000,
    "a" + ".a" * 20_000 + " = 1",
    "a = " + "[" * 20_000,
    "a = [" + "{}," * 40_000 + "]",
    "[prices]\ncatalog = 0x" + "f" * 200,
    "[values]\nport = 2026-13-45",
)
_DAYS: Final = ("2026-03-01", "2026-12-31", "2028-02-29", "", "0001-01-01", "9999-12-31")
_LICENSES: Final = ("license-1", "license-2", "license-3")
_RELEASES: Final = ("14r1", "12", "15r1sr3", "V13")
_LIKELY: Final[dict[str, tuple[str, ...]]] = {
    "project": (NAME,),
    "pbx": (f"{NAME}/pbxs/berlin",),
    "primary": (f"{NAME}/pbxs/berlin",),
    "standby": (f"{NAME}/pbxs/spare",),
    "server": (f"{NAME}/devices/hq-box", f"{NAME}/pbxs/berlin", f"{NAME}/licenses/license-1"),
    "day": _DAYS,
    "from_day": _DAYS,
    "begins": _DAYS,
    "ends": _DAYS,
    "delivered_on": _DAYS,
    "licenses": _LICENSES,
    "license": _LICENSES,
    "id": (*_LICENSES, "hq-box"),
    "software_version": _RELEASES,
    "version": _RELEASES,
    "to_release": _RELEASES,
    "from_release": _RELEASES,
    "to_device": ("hq-box",),
    "amount": ("12.50", "100", "0", "-1"),
    "license_type": ("port", "standby", "PBX-Port12"),
    "type": ("port", "PBX-Port12", "PBX-Standby12"),
    "page_token": ("", *_TOKENS),
    "text": _TEXTS,
    "url": ("https://192.0.2.1/in", "http://127.0.0.1:1/in"),
    "service": ("", *SERVICES),
    "time_zone": ("Europe/Berlin", "UTC"),
}
"""What makes sense in a field of that name."""
_LIKELY_IN: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("ListSeatsRequest", "pbx"): ("berlin", ""),
    ("ListEventsRequest", "pbx"): ("berlin", ""),
    ("CheckStandbyRequest", "pbx"): ("berlin", "spare", ""),
    ("GetProjectRequest", "name"): (NAME,),
    ("DeleteProjectRequest", "name"): (NAME,),
    ("CreateEnrollmentRequest", "device"): (f"{NAME}/devices/hq-box",),
}
_NEEDED: Final = frozenset(
    {"project", "pbx", "name", "device", "server", "request_id", "reason", "epoch", "instance_id"}
)
"""Fields without which most requests go no further."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """A method as it is called with bytes."""

    path: str
    takes: Descriptor
    streams_out: bool

    def call(self, channel: grpc.aio.Channel, request: bytes) -> Any:
        """Begin the call, with one message also where the method takes a stream of them: the wire says the same.

        A stream is written message by message; where the master refuses the call meanwhile, grpcio's client now and
        then says `INTERNAL` of its own instead of the master's answer.
        """
        call: Any = (channel.unary_stream if self.streams_out else channel.unary_unary)(self.path)
        return call(request)


def every_rpc() -> Iterator[Rpc]:
    """Of all services that are served, health and reflection too."""
    pool = descriptor_pool.Default()
    for service in (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME):
        for method in pool.FindServiceByName(service).methods:
            yield _rpc(service, method)
            if service == reflection.SERVICE_NAME:
                yield _rpc(V1, method)


def _rpc(service: str, method: MethodDescriptor) -> Rpc:
    return Rpc(f"/{service}/{method.name}", method.input_type, method.server_streaming)


class Chance(random.Random):
    """Where values come from; how many of them make no sense changes from message to message."""

    odd = 0.0

    def __init__(self, seed: int, bases: Mapping[str, Message]) -> None:
        """`bases` are messages that make sense, by the name of their kind; chance alters them."""
        super().__init__(seed)
        self.bases = bases
        self.epochs: Sequence[int] = ()


def request(chance: Chance, rpc: Rpc) -> bytes:
    """What a caller may send: mostly a message that the method takes, now and then bytes that are none."""
    chance.odd = chance.choice((0.0, 0.0, 0.05, 0.2, 0.6))
    made = message(chance, rpc.takes).SerializeToString()
    match chance.randrange(16):
        case 0:
            return made + _unknown(chance)
        case 1:
            cut = chance.randrange(len(made) + 1)
            return made[:cut] + chance.randbytes(chance.randrange(8)) + made[cut + chance.randrange(3) :]
        case 2:
            return made + made
    return made


def message(chance: Chance, kind: Descriptor, *, depth: int = 0) -> Message:
    """A message of a kind with some of its fields."""
    made: Message = GetMessageClass(kind)()
    if (base := chance.bases.get(kind.name)) is not None:
        made.CopyFrom(base)
    filled = chance.choice((0.2, 0.8, 0.95)) if base is None else chance.odd / 4
    for described in kind.fields:
        if chance.random() < (1 - chance.odd if described.name in _NEEDED else filled):
            _fill(chance, made, described, depth)
    return made


def _fill(chance: Chance, made: Any, field: FieldDescriptor, depth: int) -> None:
    count = chance.choice((0, 1, 1, 2, 3)) if field.is_repeated else 1
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
        for _ in range(count):
            if value.message_type is None:
                getattr(made, field.name)[_value(chance, key)] = _value(chance, value)
    elif field.message_type is not None:
        for _ in range(count if depth < 6 else 0):
            inner = message(chance, field.message_type, depth=depth + 1)
            target = getattr(made, field.name)
            (target.add() if field.is_repeated else target).MergeFrom(inner)
            if not field.is_repeated:
                target.SetInParent()
    elif field.is_repeated:
        getattr(made, field.name).extend(_value(chance, field) for _ in range(count))
    else:
        setattr(made, field.name, _value(chance, field))


def _value(chance: Chance, field: FieldDescriptor) -> Any:
    return _VALUES[field.cpp_type](chance, field)


def _text(chance: Chance, field: FieldDescriptor) -> str | bytes:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 16, 32, 64, 200)))
    if chance.random() < chance.odd:
        return chance.choice(_NASTY)
    if field.name == "request_id":
        return f"request-{chance.randrange(10**6)}"
    within = field.containing_type.name if field.containing_type is not None else ""
    if field.name == "name" and "Webhook" in within:
        return f"{NAME}/webhooks/siem"
    return chance.choice(_LIKELY_IN.get((within, field.name)) or _LIKELY.get(field.name) or _NAMES)


def _integer(chance: Chance, field: FieldDescriptor, least: int, most: int) -> int:
    if field.name.endswith("epoch") and chance.epochs and chance.random() >= chance.odd:
        return chance.choice(chance.epochs)
    if chance.random() >= chance.odd:
        return chance.choice(_INTEGERS)
    return min(max(chance.choice(_EXTREMES), least), most)


def _unknown(chance: Chance) -> bytes:
    """Fields that no message here has: numbers, bytes, groups in groups."""
    return chance.choice(
        (
            b"\xf8\x7f\x01",
            b"\xfa\x7f\x03abc",
            b"\xfb\x7f" * 90 + b"\xfc\x7f" * 90,
            b"\xfb\x7f" * 5000,
            b"\xfd\x7f\0\0\0\0",
        )
    )


def _enum(field: FieldDescriptor) -> EnumDescriptor:
    assert field.enum_type is not None
    return field.enum_type


_VALUES: Final[dict[int, Callable[[Chance, FieldDescriptor], Any]]] = {
    FieldDescriptor.CPPTYPE_STRING: _text,
    FieldDescriptor.CPPTYPE_BOOL: lambda chance, _: chance.random() < 0.5,
    FieldDescriptor.CPPTYPE_INT32: lambda chance, field: _integer(chance, field, -_INT32 - 1, _INT32),
    FieldDescriptor.CPPTYPE_INT64: lambda chance, field: _integer(chance, field, -_INT64 - 1, _INT64),
    FieldDescriptor.CPPTYPE_UINT32: lambda chance, field: _integer(chance, field, 0, 2 * _INT32 + 1),
    FieldDescriptor.CPPTYPE_UINT64: lambda chance, field: _integer(chance, field, 0, 2 * _INT64 + 1),
    FieldDescriptor.CPPTYPE_FLOAT: lambda chance, _: chance.choice(_FLOATS),
    FieldDescriptor.CPPTYPE_DOUBLE: lambda chance, _: chance.choice(_FLOATS),
    FieldDescriptor.CPPTYPE_ENUM: lambda chance, field: chance.choice(
        (*(each.number for each in _enum(field).values), *((-1, 99, _INT32) if chance.random() < chance.odd else ()))
    ),
}


# --- Answers ----------------------------------------------------------------------------------------------------------

_CODE: Final = grpc.StatusCode
_ANSWERS: Final = {
    _CODE.OK,
    _CODE.INVALID_ARGUMENT,
    _CODE.NOT_FOUND,
    _CODE.ALREADY_EXISTS,
    _CODE.PERMISSION_DENIED,
    _CODE.UNAUTHENTICATED,
    _CODE.FAILED_PRECONDITION,
    _CODE.OUT_OF_RANGE,
    _CODE.RESOURCE_EXHAUSTED,
    _CODE.ABORTED,
}
_INSIDE: Final = re.compile(
    r"Traceback|File \"|\.py\b|sqlalchemy|sqlite3|asyncpg|psycopg|\bSELECT\b|\bINSERT\b|\bUPDATE\b|\[SQL|Error\("
)


@dataclass(slots=True)
class Told:
    """What came of the calls."""

    codes: dict[grpc.StatusCode, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def take(self, rpc: Rpc, sent: bytes, code: grpc.StatusCode, reason: str, message: str) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        if code not in _ANSWERS or reason.startswith("STORAGE") or _INSIDE.search(message):
            self.wrong.append(f"{rpc.path} {sent[:400]!r}: {code.name} {reason} {message[:300]}")


async def answer(rpc: Rpc, channel: grpc.aio.Channel, sent: bytes) -> tuple[grpc.StatusCode, str, str]:
    """The code, the reason and all texts of an answer; of an endless one its first message is enough."""
    call: Any = rpc.call(channel, sent)
    try:
        async with asyncio.timeout(HANG_SECONDS):
            if not rpc.streams_out:
                await call
            elif "Watch" in rpc.path:
                await call.read()
            else:
                async for _ in call:
                    pass
    except grpc.aio.AioRpcError as error:
        failed = seen(error)
        return failed.code, failed.reason, "\n".join([failed.message, *failed.fields.values()])
    except TimeoutError:
        return _CODE.DEADLINE_EXCEEDED, "", ""
    finally:
        call.cancel()
    return _CODE.OK, "", ""
