"""The API's enum values as people and project files write them: PBX_ROLE_SLAVE is "slave"."""

import re
from collections.abc import Mapping

from google.protobuf.descriptor import EnumDescriptor


def short_names(enum: EnumDescriptor) -> Mapping[str, int]:
    """All values by short name, without the unspecified one, in the order of the proto."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def short_name_of(enum: EnumDescriptor, number: int) -> str:
    """One value's short name; its number where this version of the command does not know it."""
    return next((name for name, value in short_names(enum).items() if value == number), str(number) if number else "")


def in_words(enum: EnumDescriptor, number: int) -> str:
    """One value in words: REFUSAL_REASON_POOL_EXHAUSTED is "pool exhausted"."""
    return short_name_of(enum, number).replace("_", " ")
