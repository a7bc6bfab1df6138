"""Values are read from the fields that they are written to."""

from __future__ import annotations

import re
from typing import Any

import pytest

from licensemaster.api_enums import HolderKind
from licensemaster.v1 import allocation_pb2, project_pb2
from master.domain.allocation.policies import Allocation, AllocationRule, QueuePolicy, SiteGroup, TypePolicy
from master.domain.catalog.words import PbxRole
from master.domain.estate.project import PaceSpec, PbxSpec
from master.rpc.convert.from_messages import value_from
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message


def test_what_is_written_is_read_back() -> None:
    rule = AllocationRule(
        name="r",
        group="g",
        reserve={"port": 0},
        deny=("port",),
        holder_kinds=(HolderKind.TRUNK,),
        serves_emergencies=True,
        starts_at=0.0,
        ends_at=1.5,
    )
    policy = TypePolicy(license_type="port", queue=QueuePolicy(length_max=3, patience_seconds=60), loan_days_max=2)
    laid_down = Allocation((SiteGroup(name="g", sites=("a", "b")),), (rule, AllocationRule(name="s")), (policy,))
    assert value_from(Allocation, message(allocation_pb2.Allocation, laid_down)) == laid_down
    pbx = PbxSpec("p", "a", "box", PbxRole.STANDBY, "12r1", "q", PaceSpec(grace_seconds=0))
    assert value_from(PbxSpec, message(project_pb2.Pbx, pbx)) == pbx


def test_names_and_texts_for_people_come_into_their_forms_and_a_number_that_is_left_out_is_the_usual_one() -> None:
    pbx = value_from(
        PbxSpec, project_pb2.Pbx(name="p\u2010q ", software_version=" 12\u2010r1", role=project_pb2.PBX_ROLE_SLAVE)
    )
    assert (pbx.name, pbx.software_version, pbx.lease) == ("p-q", "12\u2010r1", PaceSpec())
    assert value_from(QueuePolicy, allocation_pb2.QueuePolicy(length_max=1)) == QueuePolicy(length_max=1)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"holder_kinds": [1, 99]}, "rules[1].holder_kinds[1]: must be one of user, executive, trunk"),
        ({"end_time": {"seconds": -1}}, "rules[1].end_time: must be a moment"),
    ],
)
def test_what_cannot_be_meant_is_named(rule: dict[str, Any], field: str) -> None:
    first = allocation_pb2.AllocationRule()
    sent = allocation_pb2.Allocation(rules=[first, allocation_pb2.AllocationRule(**rule)])
    with pytest.raises(InvalidArgumentError, match=f"^{re.escape(field)}"):
        value_from(Allocation, sent)
