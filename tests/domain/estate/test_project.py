"""What may be wrong with a project, most of which is shown over the wire in tests/rpc; what differs between two."""

from master.domain.catalog.words import PbxRole
from master.domain.estate.project import (
    CAPACITY_MAX,
    QUANTITY_MAX,
    ChangeAction,
    LicenseSpec,
    PaceSpec,
    PbxSpec,
    ProjectSpec,
    SiteSpec,
    changes,
)
from master.domain.estate.project import DeviceSpec as Box
from master.domain.estate.project_violations import violations
from master.values import replace
from tests.domain.catalogs import INNOVAPHONE

SPEC = ProjectSpec(
    name="acme",
    display_name="",
    catalog="innovaphone",
    lease=PaceSpec(),
    sites=(SiteSpec("hq"),),
    devices=(Box("box", "gateway"),),
    pbxs=(PbxSpec("hq", "hq", "box", PbxRole.MASTER, "12"),),
    licenses=(),
)


def test_a_pool_has_an_end() -> None:
    many = CAPACITY_MAX // QUANTITY_MAX + 1
    licenses = tuple(LicenseSpec(f"l{number}", "PBX-Port12", QUANTITY_MAX, "box") for number in range(many))
    spec = replace(SPEC, licenses=licenses)
    actual = violations(spec, {"innovaphone": INNOVAPHONE})
    assert [violation.path for violation in actual] == [("licenses", many - 1, "quantity")]
    assert "1,000,000,000 PBX-Port" in actual[0].reason


def test_what_an_apply_would_change_is_listed() -> None:
    after = replace(SPEC, sites=(SiteSpec("hq", "Head office"), SiteSpec("berlin")), devices=(), pbxs=())
    actual = [(change.action, change.kind, change.name, change.before, change.after) for change in changes(SPEC, after)]
    assert actual == [
        (ChangeAction.ADD, "site", "berlin", "", ""),
        (ChangeAction.CHANGE, "site", "hq", "", "display_name=Head office"),
        (ChangeAction.REMOVE, "device", "box", "platform=gateway", ""),
        (ChangeAction.REMOVE, "pbx", "hq", "site=hq device=box role=master software_version=12", ""),
    ]
    assert changes(SPEC, SPEC) == []
