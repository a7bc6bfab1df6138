"""Projects and their names that are none: refused where they come in, with every mistake named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import pytest

from licensemaster.v1 import project_pb2, status_pb2
from tests.rpc.admission.hostile import HOSTILE
from tests.rpc.conftest import ON_BOTH_DATABASES, Estate
from tests.rpc.failures import everything, failure
from tests.support.masters import Clock, in_process_master
from tests.support.projects.estates import project

pytestmark = pytest.mark.asyncio(loop_scope="module")
Change = Callable[[project_pb2.Project], object]


@pytest.mark.parametrize(
    "name", ["", "acme", "projects/", "projects/acme/", "projects/a\0b", f"projects/{'😀' * 3000}"]
)
async def test_names_that_are_none_of_a_project(estate: Estate, name: str) -> None:
    for call in (
        estate.wire.status.GetStatus(status_pb2.GetStatusRequest(project=name)),
        estate.wire.status.ListSeats(status_pb2.ListSeatsRequest(project=name)),
        estate.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=name)),
        estate.wire.status.ListEvents(status_pb2.ListEventsRequest(project=name)),
        estate.wire.projects.GetProject(project_pb2.GetProjectRequest(name=name)),
    ):
        seen = await failure(call)
        assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
        [reason] = seen.fields.values()
        assert reason.endswith("must be projects/PROJECT")


@ON_BOTH_DATABASES
async def test_an_unknown_project(estate: Estate) -> None:
    for call in (
        estate.wire.status.GetStatus(status_pb2.GetStatusRequest(project="projects/nope")),
        estate.wire.projects.GetProject(project_pb2.GetProjectRequest(name="projects/nope")),
    ):
        seen = await failure(call)
        assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROJECT")
        assert "projects/nope is unknown; `license-master project list` lists all" in seen.message


# --- Projects -------------------------------------------------------------------------------------------------------

BAD_PROJECTS: dict[str, tuple[Change, str, str]] = {
    "no name": (lambda p: setattr(p, "name", ""), "name", "must be 1 to 63"),
    "hostile name": (lambda p: setattr(p, "name", "a/b\0"), "name", "must be 1 to 63"),
    "long name": (lambda p: setattr(p, "name", "x" * 10_000), "name", "xxx"),
    "unknown catalog": (
        lambda p: setattr(p, "catalog", "acme"),
        "catalog",
        "use one of allworx, distribution_engine, innovaphone, isymphony",
    ),
    "unknown time zone": (
        lambda p: setattr(p, "time_zone", "Mars/Olympus"),
        "time_zone",
        "write it like Europe/Berlin",
    ),
    "hostile time zone": (lambda p: setattr(p, "time_zone", "../../etc/passwd\0"), "time_zone", "is no time zone"),
    "hostile display name": (
        lambda p: setattr(p, "display_name", "a\0b"),
        "display_name",
        "printable characters",
    ),
    "hostile site": (
        lambda p: setattr(p.sites[0], "display_name", "a\nb"),
        "sites[0].display_name",
        "printable characters",
    ),
    "hostile model": (
        lambda p: setattr(p.devices[1], "model", "IP\0"),
        "devices[1].model",
        "printable characters",
    ),
    "long model": (lambda p: setattr(p.devices[1], "model", "x" * 64), "devices[1].model", "at most 63"),
    "unknown platform": (lambda p: setattr(p.devices[0], "platform", "toaster"), "devices[0].platform", "gateway"),
    "unknown site": (lambda p: setattr(p.pbxs[0], "site", "nowhere"), "pbxs[0].site", "'nowhere' is no site"),
    "unknown device": (lambda p: setattr(p.pbxs[0], "device", "none"), "pbxs[0].device", "'none' is no device"),
    "device shared": (lambda p: setattr(p.pbxs[1], "device", "hq-box"), "pbxs[1].device", "one PBX per device"),
    "no role": (lambda p: setattr(p.pbxs[1], "role", 0), "pbxs[1].role", "must be one of master, slave, standby"),
    "unknown role": (lambda p: setattr(p.pbxs[1], "role", 99), "pbxs[1].role", "must be one of master, slave, standby"),
    "two masters": (
        lambda p: setattr(p.pbxs[1], "role", 1),
        "pbxs",
        "must have the role master; here it is hq, berlin",
    ),
    "no master": (lambda p: setattr(p.pbxs[0], "role", 2), "pbxs", "must have the role master; here it is none"),
    "standby for nobody": (lambda p: setattr(p.pbxs[1], "role", 3), "pbxs[1].standby_for", "name the PBX"),
    "bad version": (lambda p: setattr(p.pbxs[1], "software_version", "x"), "pbxs[1].software_version", "like 12"),
    "long version": (
        lambda p: setattr(p.pbxs[1], "software_version", "x" * 10_000),
        "pbxs[1].software_version",
        "xxx",
    ),
    "two of a name": (lambda p: p.sites.add(name="site-hq"), "sites[2].name", "give each its own"),
    "two licenses of an id": (
        lambda p: p.licenses.add(id="license-1", type="PBX-Port12", quantity=1),
        "licenses[2].id",
        "give each its own",
    ),
    "no quantity": (lambda p: setattr(p.licenses[0], "quantity", 0), "licenses[0].quantity", "0 must be between 1 and"),
    "negative": (lambda p: setattr(p.licenses[0], "quantity", -5), "licenses[0].quantity", "-5 must be between 1 and"),
    "too many": (lambda p: setattr(p.licenses[0], "quantity", 2**62), "licenses[0].quantity", "between 1 and 1000000"),
    "unknown type": (lambda p: setattr(p.licenses[0], "type", "PBX-Toast12"), "licenses[0].type", "'PBX-Toast12'"),
    "type without version": (lambda p: setattr(p.licenses[0], "type", "PBX-Port"), "licenses[0].type", "its version"),
    "unknown tier": (lambda p: setattr(p.licenses[0], "type", "PBX-Port12%7"), "licenses[0].type", "no price tier %7"),
    "hostile type": (lambda p: setattr(p.licenses[0], "type", "x" * 10_000), "licenses[0].type", "xxx"),
    "bound to nothing": (lambda p: setattr(p.licenses[0], "device", "none"), "licenses[0].device", "runs no PBX"),
    "ttl too short": (lambda p: setattr(p.lease, "ttl_seconds", -1), "lease.ttl_seconds", "-1 must be between 5"),
    "grace too long": (
        lambda p: setattr(p.pbxs[1].lease, "grace_seconds", 2**31 - 1),
        "pbxs[1].lease.grace_seconds",
        "must be between 0 and",
    ),
}


@pytest.mark.parametrize("what", BAD_PROJECTS)
async def test_a_bad_project(estate: Estate, what: str) -> None:
    spoil, path, says = BAD_PROJECTS[what]
    message = project({"PBX-Port12": 5, "PBX Video12": 5})
    spoil(message)
    seen = await failure(estate.wire.apply(message))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT, seen
    assert seen.reason == seen.info
    assert seen.reason in ("PROJECT_INVALID", "INVALID_ARGUMENT")
    assert says in seen.fields[path]


async def test_a_project_with_thousands_of_mistakes(estate: Estate) -> None:
    message = project({"PBX-Port12": 5})
    for number in range(2000):
        message.sites.add(name=f"Bad Site {number} 😀")
    seen = await failure(estate.wire.apply(message))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROJECT_INVALID")
    assert "sites[2].name" in seen.fields
    assert seen.fields[""].startswith("and ")


@pytest.mark.parametrize("value", ["", *HOSTILE])
async def test_an_apply_without_a_proper_request_id(estate: Estate, value: str) -> None:
    request = project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 9}), request_id=value)
    seen = await failure(estate.wire.projects.ApplyProject(request))
    assert list(seen.fields) == ["request_id"]


@ON_BOTH_DATABASES
async def test_an_apply_that_takes_away_what_is_in_use(estate: Estate) -> None:
    seen = await failure(estate.wire.apply(project({"PBX-Port12": 1})))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PROJECT_INVALID")
    assert "would have 1 PBX-Port licenses, but 2 are in use" in seen.fields["licenses"]
    assert "license-master seats --type port" in seen.fields["licenses"]
    seen = await failure(estate.wire.apply(project({"PBX-Port12": 5}, pbxs={})))
    assert "berlin cannot be removed while it holds 2 seats" in seen.fields["pbxs"]


@ON_BOTH_DATABASES
async def test_a_dry_run_changes_nothing(estate: Estate) -> None:
    bigger = {"berlin": "slave 12 gateway", "rome": "slave 12 ipva"}
    response = await estate.wire.apply(project({"PBX-Port12": 500}, pbxs=bigger), dry_run=True)
    assert response.changes


async def test_a_new_project_is_applied_once_by_many_at_once(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock) as master:
        answers = await asyncio.gather(*(master.wire.apply(project({"PBX-Port12": 5})) for _ in range(5)))
        assert sorted(bool(answer.changes) for answer in answers) == [False] * 4 + [True]
        assert {answer.revision for answer in answers} == {1}
        assert (await everything(master.wire))[5].count("projects/acme") == 1
