"""Every RPC of every service has a verdict for every role, and the verdicts are these."""

from __future__ import annotations

import re
from importlib import resources
from types import SimpleNamespace

import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from licensemaster.v1 import (
    agreement_pb2,
    allocation_pb2,
    audit_pb2,
    lease_pb2,
    license_pb2,
    loan_pb2,
    plan_pb2,
    project_pb2,
    report_pb2,
    standby_pb2,
    status_pb2,
    webhook_pb2,
)
from master.auth.callers.identity import Identity, IdentityError, Role, identity_of
from master.auth.callers.permissions import TABLE, Denial, denial, may_read_metrics, stood_in_for
from master.rpc.server.reflection import V1
from master.rpc.server.server import SERVICES

FILES = (
    *(agreement_pb2, allocation_pb2, audit_pb2),
    *(lease_pb2, license_pb2, loan_pb2, plan_pb2, project_pb2, report_pb2, standby_pb2, status_pb2, webhook_pb2),
    *(health_pb2, reflection_pb2),
)
METHODS = {
    f"{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
[_reflection] = reflection_pb2.DESCRIPTOR.services_by_name.values()
METHODS |= {f"{V1}/{method.name}": method for method in _reflection.methods}  # the same messages under the newer name
HEALTH = {"Check", "List", "Watch"}
MAY_CALL = {
    Role.PBX: {
        *("OpenLease", "TakeOverLease", "RenewLease", "CloseLease", "AcquireSeats", "ReturnSeats", "SyncSeats"),
        *(
            "WatchLease",
            "ExplainSeats",
            "SubmitCertificate",
            "EnrollDevice",
            "CheckUpgrade",
            "BorrowSeats",
            "ReturnLoan",
        ),
    },
    Role.VIEWER: {
        *("ListLicenses", "ListVendorKeys", "ListDevices", "GetProject", "ListProjects", "CheckStandby", "GetStatus"),
        *("ListSeats", "ListLeases", "ExplainSeats", "ListEvents", "ExportEvents", "VerifyAudit", "PlanChanges"),
        *("GetUsageReport", "ServerReflectionInfo", "QuoteOrder", "ListAgreements", "ListEntries", "CheckUpgrade"),
        *("ListEndings", "GetRights", "GetAllocation", "ListLoans", "PreviewLoan", "ListWaiting"),
    },
    Role.VENDOR: {"ImportLicenses"},
    Role.METRICS: set(),
    Role.MASTER: set(),
}
MAY_CALL[Role.OPERATOR] = {
    *MAY_CALL[Role.VIEWER],
    *("ImportLicenses", "BindLicenses", "ReleaseLicenses", "CancelReleases", "ApproveReleases", "SubmitCertificate"),
    *("AddWebhook", "ListWebhooks", "RemoveWebhook", "TestWebhook", "ListDeadMessages", "RetryDeadMessages"),
    *("TrustVendorKey", "DistrustVendorKey", "CreateEnrollment", "EnrollDevice", "ApplyProject", "DrillStandby"),
    *("EndLearning", "EndLease", "DeleteProject", "ApplyAllocation", "DropWaiting", "BorrowSeats", "ReturnLoan"),
    "PlaceOrder",
}
"""The table once more, by role instead of by method, written by hand: who changes one must change the other."""
BERLIN = identity_of("license-master://projects/acme/pbxs/berlin")


def caller(role: Role) -> Identity:
    return BERLIN if role is Role.PBX else Identity(role, "anna")


def request_of(method: str, name: str, project: str = "acme") -> object:
    """The method's own request, each field that says whom it is about filled in as the API wants it."""
    request = METHODS[method].input_type._concrete_class()
    for field in TABLE[method].about:
        if field == "project.name":
            request.project.name = project
        else:
            setattr(request, field, f"projects/{project}" if field in ("project", "name") else name)
    return request


def test_the_table_has_every_method_and_no_other() -> None:
    assert set(TABLE) == set(METHODS)
    assert {name.split("/")[0] for name in METHODS} >= set(SERVICES)


def test_the_protos_say_who_may_call() -> None:
    """A service says it for its methods, a method that differs for itself."""
    words = {"operators": Role.OPERATOR, "viewers": Role.VIEWER, "vendors": Role.VENDOR, "PBX": Role.PBX}
    file_set = (resources.files("licensemaster.v1") / "descriptors.binpb").read_bytes()
    told = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(file_set).file:
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        for number, service in enumerate(file.service):
            for index, method in enumerate(service.method):
                texts = (comments[6, number, 2, index], comments[6, number])
                [said, *_] = [part for text in texts for part in re.findall(r"May call:([^.]+)\.", text)]
                name = f"{file.package}.{service.name}/{method.name}"
                told[name] = {role for word, role in words.items() if re.search(rf"\b{word}\b", said)}
    assert told == {name: access.roles for name, access in TABLE.items() if name in told}
    assert {name for name in TABLE if name.startswith("licensemaster.")} == told.keys()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("role", Role, ids=lambda role: role.name)
def test_every_method_by_every_role(method: str, role: Role) -> None:
    allowed = method.split("/")[1] in MAY_CALL[role] | HEALTH
    actual = denial(caller(role), method, request_of(method, "projects/acme/pbxs/berlin"))
    assert actual is (None if allowed else Denial.ROLE_FORBIDDEN)


@pytest.mark.parametrize(
    "method", [name for name, access in TABLE.items() if access.about and Role.PBX in access.roles]
)
@pytest.mark.parametrize(
    "other", ["projects/acme/pbxs/paris", "projects/globex/pbxs/berlin", "", "projects/acme/pbxs/berlin/", "berlin"]
)
def test_a_pbx_acts_for_no_other(method: str, other: str) -> None:
    assert denial(BERLIN, method, request_of(method, other)) is Denial.NOT_YOUR_PBX


@pytest.mark.parametrize("method", [name for name, access in TABLE.items() if access.about])
def test_every_method_that_names_something_keeps_the_confined_to_their_project(method: str) -> None:
    for role in TABLE[method].roles - {Role.PBX}:
        confined = Identity(role, "anna", "acme")
        own = request_of(method, "projects/acme/pbxs/berlin", "acme")
        foreign = request_of(method, "projects/globex/pbxs/berlin", "globex")
        assert denial(confined, method, own) is None
        assert denial(confined, method, foreign) is Denial.NOT_YOUR_PROJECT


@pytest.mark.parametrize(
    "sent",
    [
        "projects\uff0fglobex\uff0fpbxs/acme",
        "projects/globex\u200b/pbxs/acme",
        "projects\uff0fglobex/acme",
        "globex/acme",
    ],
)
def test_a_name_is_judged_as_it_is_read_by_those_who_act_on_it(sent: str) -> None:
    method = "licensemaster.v1.LeaseService/RenewLease"
    assert denial(BERLIN, method, request_of(method, sent)) is Denial.NOT_YOUR_PBX
    assert denial(BERLIN, method, request_of(method, f" {BERLIN.resource}\u00a0\n")) is None
    for confined_to in ("projects/acme/pbxs/berlin\n", "\ufeffprojects\uff0facme/pbxs/x"):
        anna = Identity(Role.OPERATOR, "anna", "acme")
        method = "licensemaster.v1.StatusService/ExplainSeats"
        assert denial(anna, method, request_of(method, confined_to, "acme")) is None
        assert denial(anna, method, request_of(method, sent, "globex")) is Denial.NOT_YOUR_PROJECT


def test_a_standby_takes_over_within_its_project_only() -> None:
    request = lease_pb2.TakeOverLeaseRequest(standby=BERLIN.resource, primary="projects/globex/pbxs/hq")
    assert denial(BERLIN, "licensemaster.v1.LeaseService/TakeOverLease", request) is Denial.NOT_YOUR_PBX


def test_what_a_standby_may_do_while_it_carries() -> None:
    request = SimpleNamespace(pbx="projects/acme/pbxs/hq", standby="", primary="")
    methods = {name.split("/")[1] for name in METHODS if stood_in_for(BERLIN, name, request) == request.pbx}
    assert methods == MAY_CALL[Role.PBX] & {
        *("RenewLease", "CloseLease", "AcquireSeats", "ReturnSeats", "SyncSeats", "WatchLease"),
    }
    foreign = SimpleNamespace(pbx="projects/globex/pbxs/hq")
    assert stood_in_for(BERLIN, "licensemaster.v1.LeaseService/RenewLease", foreign) is None


def test_an_unknown_method_is_nobodys() -> None:
    assert denial(Identity(Role.OPERATOR, "anna"), "licensemaster.v1.LeaseService/Nuke", object()) is (
        Denial.ROLE_FORBIDDEN
    )


@pytest.mark.parametrize(
    "uri",
    [
        "license-master://projects/acme/pbxs/berlin",
        "license-master://operators/anna.b@bank.example",
        "license-master://projects/acme/viewers/wall-board",
        "license-master://metrics/prometheus",
        "license-master://vendors/innovaphone",
    ],
)
def test_names_are_read_as_they_are_written(uri: str) -> None:
    assert identity_of(uri).uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "license-master://pbxs/berlin",
        "license-master://masters/m",
        "license-master://projects/acme/metrics/p",
        "license-master://projects/acme/pbxs/berlin/",
        "license-master://operators/",
        "license-master://operators/a b",
        "license-master://operators/anna\n",
        "https://operators/anna",
        "license-master://projects/ACME/pbxs/berlin",
    ],
)
def test_what_names_nobody(uri: str) -> None:
    with pytest.raises(IdentityError):
        identity_of(uri)


def test_who_reads_metrics() -> None:
    assert {role for role in Role if may_read_metrics(caller(role))} == {Role.METRICS, Role.OPERATOR, Role.VIEWER}
    assert not may_read_metrics(Identity(Role.OPERATOR, "anna", "acme"))
