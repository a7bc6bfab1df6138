"""The API's enum values as people and project files write them: PBX_ROLE_SLAVE is "slave"."""

import re
from collections.abc import Mapping

from google.protobuf.descriptor import EnumDescriptor


def short_names(enum: EnumDescriptor) -> Mapping[str, int]:
    """Return all values of an enum by short name, without the unspecified one, in the order of the proto."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def short_name_of(enum: EnumDescriptor, number: int) -> str:
    """Return a value's short name; its number where this version of the command does not know the value."""
    return next((name for name, value in short_names(enum).items() if value == number), str(number) if number else "")


def in_words(enum: EnumDescriptor, number: int) -> str:
    """Return a value in words: "pool exhausted" for REFUSAL_REASON_POOL_EXHAUSTED."""
    return short_name_of(enum, number).replace("_", " ")
