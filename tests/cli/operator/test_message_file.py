"""Project files: each mistake is named with file, line, field and what to do."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.v1 import project_pb2
from licensemaster.values.toml_lines import path_text
from master.cli.operator.projects.message_file import (
    ALLOCATION,
    LIMITS,
    PROJECT,
    FileKind,
    MessageFileError,
    parse_field,
    read_file,
)
from master.cli.operator.projects.message_toml import message_toml

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.toml"))

GOOD = """\
name = "acme"
catalog = "innovaphone"

[lease]
ttl_seconds = 60

[[pbxs]]
name = "hq"
role = "master"
software_version = "12r1"
lease = { grace_seconds = 0 }

[[licenses]]
id = "ports"
type = "PBX-Port12"
quantity = 100
device = "box"
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "acme.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(tmp_path: Path, text: str | bytes) -> str:
    """All that is said of a bad file, with its folder taken off."""
    with pytest.raises(MessageFileError) as failure:
        read_file(written(tmp_path, text), PROJECT)
    said = "\n".join([failure.value.message, *failure.value.lines, failure.value.remedy])
    return said.replace(f"{tmp_path}/", "")


def test_a_good_file(tmp_path: Path) -> None:
    read = read_file(written(tmp_path, GOOD), PROJECT)
    assert read.message == project_pb2.Project(
        name="acme",
        catalog="innovaphone",
        lease=project_pb2.LeaseSettings(ttl_seconds=60),
        pbxs=[
            project_pb2.Pbx(
                name="hq",
                role=project_pb2.PBX_ROLE_MASTER,
                software_version="12r1",
                lease=project_pb2.LeaseSettings(grace_seconds=0),
            )
        ],
        licenses=[project_pb2.License(id="ports", type="PBX-Port12", quantity=100, device="box")],
    )


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_from_other_systems(tmp_path: Path, ending: str, mark: str) -> None:
    read = read_file(written(tmp_path, mark + GOOD.replace("\n", ending)), PROJECT)
    assert read.message.licenses[0].quantity == 100
    assert read.place("licenses[0].quantity").endswith("acme.toml:16: licenses[0].quantity")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("quantity = 100", "quantty = 100", "acme.toml:16: licenses[0].quantty: unknown key; did you mean 'quantity'?"),
        ("[lease]", "[leese]", "acme.toml:4: leese: unknown key; did you mean 'lease'?"),
        ("grace_seconds = 0", "zzz = 0", "acme.toml:11: pbxs[0].lease.zzz: unknown key; known keys here: ttl_seconds"),
        ("quantity = 100", 'quantity = "100"', 'quantity: must be a whole number, not the text "100": take the quotes'),
        ("quantity = 100", "quantity = 1.5", "acme.toml:16: licenses[0].quantity: must be a whole number, not the fra"),
        ("quantity = 100", "quantity = true", "acme.toml:16: licenses[0].quantity: must be a whole number, not true"),
        ("quantity = 100", "quantity = 1e3", "acme.toml:16: licenses[0].quantity: must be a whole number, not the fra"),
        ("quantity = 100", "quantity = 9223372036854775808", "licenses[0].quantity: 9223372036854775808 is out of ran"),
        ("ttl_seconds = 60", "ttl_seconds = 2147483648", "acme.toml:5: lease.ttl_seconds: 2147483648 is out of range"),
        ('"12r1"', "12", 'must be a text, not the number 12: write it in quotes, software_version = "12"'),
        ('"12r1"', "2026-11-21", "acme.toml:10: pbxs[0].software_version: must be a text, not the date or time 2026"),
        ('"12r1"', "[]", "acme.toml:10: pbxs[0].software_version: must be a text, not a list"),
        (
            '"master"',
            '"Master"',
            'pbxs[0].role: "Master" is not one of "master", "slave", "standby"; did you mean \'master\'?',
        ),
        ('"master"', '"PBX_ROLE_MASTER"', 'acme.toml:9: pbxs[0].role: "PBX_ROLE_MASTER" is not one of "master"'),
        ('"master"', '"unspecified"', 'acme.toml:9: pbxs[0].role: "unspecified" is not one of "master"'),
        ('"master"', "1", 'pbxs[0].role: must be one of "master", "slave", "standby", not the number 1'),
        ("[[licenses]]", "[licenses]", "acme.toml:13: licenses: must be a list, not a table: write [[licenses]] once"),
        ("[lease]\nttl_seconds = 60", "lease = 60\n", "acme.toml:4: lease: must be a table with the keys ttl_seconds"),
        ('catalog = "innovaphone"', "sites = [1, {}]", "acme.toml:2: sites[0]: must be a table with the keys name"),
        ("[lease]", "[lease", "acme.toml:4: not valid TOML, column 7: Expected ']'"),
        ('name = "acme"', 'name = "acme"\nname = "again"', "acme.toml:2: not valid TOML, column 15: Cannot overwrite"),
        ('"box"\n', '"box', "acme.toml:17: not valid TOML"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert GOOD.count(old) == 1
    assert said in refused(tmp_path, GOOD.replace(old, new))


def test_all_mistakes_at_once_up_to_a_point(tmp_path: Path) -> None:
    said = refused(tmp_path, "name = 1\n" + "".join(f"key{n} = {n}\n" for n in range(30)))
    assert said.startswith("acme.toml has 31 problems; nothing was changed\nacme.toml:1: name: must be a text")
    assert "acme.toml:20: key18" in said
    assert "acme.toml:21" not in said
    assert "... and 11 more" in said


def test_not_a_text(tmp_path: Path) -> None:
    assert "acme.toml:2: not UTF-8 text (byte 0xff)" in refused(tmp_path, b'name = "a"\ncatalog = "\xff"\n')


def test_nested_too_deeply(tmp_path: Path) -> None:
    assert "nested too deeply" in refused(tmp_path, "sites = " + "[" * 100_000)


def test_too_large(tmp_path: Path) -> None:
    assert "acme.toml is larger than 10 MiB" in refused(tmp_path, b"#" * (LIMITS.size + 1))
    assert read_file(written(tmp_path, b"#" * LIMITS.size), PROJECT).message == project_pb2.Project()


@pytest.mark.parametrize(("name", "said"), [("missing.toml", "No such file"), ("", "Is a directory")])
def test_unreadable(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(MessageFileError, match=said):
        read_file(tmp_path / name, PROJECT)


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("licenses[0].quantity", "acme.toml:16: licenses[0].quantity"),
        ("project.licenses[0].quantity", "acme.toml:16: licenses[0].quantity"),
        ("project.licenses[0].absent", "acme.toml:13: licenses[0].absent"),
        ("project.pbxs", "acme.toml:7: pbxs"),
        ("project.display_name", "acme.toml: display_name"),
        ("", "acme.toml"),
    ],
)
def test_places_of_what_the_master_refuses(tmp_path: Path, field: str, place: str) -> None:
    assert read_file(written(tmp_path, GOOD), PROJECT).place(field) == f"{tmp_path}/{place}"


def test_field_paths() -> None:
    assert parse_field("pbxs[12].lease.ttl_seconds") == ("pbxs", 12, "lease", "ttl_seconds")
    assert path_text(parse_field("pbxs[12].lease.ttl_seconds")) == "pbxs[12].lease.ttl_seconds"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_read_and_write_back(path: Path, tmp_path: Path) -> None:
    project = read_file(path, PROJECT).message
    assert project.name == path.stem
    assert [pbx.role for pbx in project.pbxs].count(project_pb2.PBX_ROLE_MASTER) == 1
    assert {pbx.device for pbx in project.pbxs} == {device.name for device in project.devices}
    assert {pbx.site for pbx in project.pbxs} == {site.name for site in project.sites}
    assert len({license.id for license in project.licenses}) == len(project.licenses)
    assert {license.device for license in project.licenses} <= {device.name for device in project.devices} | {""}
    assert read_file(written(tmp_path, message_toml(project)), PROJECT).message == project


def test_there_are_examples() -> None:
    assert {"v10-v12-mix", "ipva-site", "uc-users", "local-site", "demo", "estate-40"} <= {p.stem for p in EXAMPLES}


def test_hostile_names_write_back(tmp_path: Path) -> None:
    hostile = 'a "quoted"\n\x7f\x1b[31m \\ # = [x] \u2028 ü'
    project = project_pb2.Project(name=hostile, sites=[project_pb2.Site(), project_pb2.Site(name=hostile)])
    project.lease.SetInParent()
    assert read_file(written(tmp_path, message_toml(project)), PROJECT).message == project


def filled(message: Any) -> Any:
    """The message with a value in every field, at every depth."""
    for field in message.DESCRIPTOR.fields:
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            target["a"] = 2
        elif field.message_type is not None:
            part = target.add() if field.is_repeated else target
            if isinstance(part, Timestamp):
                part.FromJsonString("2037-01-01T00:00:00Z")
            else:
                filled(part)
        else:
            value = "a" if field.cpp_type == field.CPPTYPE_STRING else 1
            if field.is_repeated:
                target.append(value)
            else:
                setattr(message, field.name, value)
    return message


@pytest.mark.parametrize("kind", [PROJECT, ALLOCATION], ids=lambda kind: kind.field)
def test_every_field_that_there_is_can_be_written_and_read(kind: FileKind[Any], tmp_path: Path) -> None:
    message = filled(kind.message())
    assert read_file(written(tmp_path, message_toml(message)), kind).message == message
