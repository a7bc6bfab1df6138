"""The enums that master and client share are the API's: same names, same numbers, none left out on either side."""

from enum import IntEnum
from typing import Any

import pytest

from licensemaster import api_enums
from licensemaster.v1 import seat_pb2, standby_pb2


@pytest.mark.parametrize(
    ("shared", "in_the_api", "prefix"),
    [
        (api_enums.HolderKind, seat_pb2.HolderKind, "HOLDER_KIND_"),
        (api_enums.Basis, seat_pb2.Basis, "BASIS_"),
        (api_enums.RemedyAction, seat_pb2.RemedyAction, "REMEDY_ACTION_"),
        (api_enums.StandbyProblemKind, standby_pb2.StandbyProblemKind, "STANDBY_PROBLEM_KIND_"),
    ],
)
def test_shared_enums_are_those_of_the_api(shared: type[IntEnum], in_the_api: Any, prefix: str) -> None:
    named = {name.removeprefix(prefix): number for name, number in in_the_api.items() if number}
    assert {member.name: member.value for member in shared} == named
