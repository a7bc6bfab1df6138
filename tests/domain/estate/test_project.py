"""What may be wrong with a project; most of it is shown over the wire in tests/rpc."""

from master.domain.catalog.words import PbxRole
from master.domain.estate.project import (
    CAPACITY_MAX,
    QUANTITY_MAX,
    LicenseSpec,
    PaceSpec,
    PbxSpec,
    ProjectSpec,
    SiteSpec,
)
from master.domain.estate.project import DeviceSpec as Box
from master.domain.estate.project_violations import violations
from tests.domain.catalogs import INNOVAPHONE


def test_a_pool_has_an_end() -> None:
    many = CAPACITY_MAX // QUANTITY_MAX + 1
    spec = ProjectSpec(
        name="acme",
        display_name="",
        catalog="innovaphone",
        lease=PaceSpec(),
        sites=(SiteSpec("hq"),),
        devices=(Box("box", "gateway"),),
        pbxs=(PbxSpec("hq", "hq", "box", PbxRole.MASTER, "12"),),
        licenses=tuple(LicenseSpec(f"l{number}", "PBX-Port12", QUANTITY_MAX, "box") for number in range(many)),
    )
    actual = violations(spec, {"innovaphone": INNOVAPHONE})
    assert [violation.path for violation in actual] == [("licenses", many - 1, "quantity")]
    assert "1,000,000,000 PBX-Port" in actual[0].reason
