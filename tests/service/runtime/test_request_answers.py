"""Every change with a request id is carried out once, and whoever repeats it gets the answer of the first time."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2, allocation_pb2, lease_pb2, license_pb2, loan_pb2, project_pb2, webhook_pb2
from master.service.leases.learning import begin_learning
from master.service.runtime.request_answers import KEPT_SECONDS
from master.store.backends.database import Tx
from tests.auth.callers.test_permissions import METHODS
from tests.rpc.failures import NAME, failure
from tests.support.databases.truth import all_events
from tests.support.masters import PROJECT, Clock, InProcess, Wire, in_process_master
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.allocations import Policy, Rule, allocation
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, enrolled, imported

LEASE_ROW = {"LeaseService/OpenLease", "LeaseService/TakeOverLease"}
"""Their retry gets the lease as it stands: an answer of before would say that it lasts longer, or less long."""
TEN = project({"PBX-Port12": 10})
OTHER = project({"PBX-Port12": 3})
OTHER.name = "other"
REQUESTS: list[tuple[str, Any]] = [
    ("ProjectService/ApplyProject", project_pb2.ApplyProjectRequest(project=TEN, request_id="apply")),
    (
        "AllocationService/ApplyAllocation",
        allocation_pb2.ApplyAllocationRequest(
            project=NAME,
            allocation=allocation(
                Rule(site="site-hq", maximum={"port": 9}), Policy(license_type="port", loan_days_max=366)
            ),
            request_id="allocate",
            reason="test",
        ),
    ),
    (
        "LicenseService/BindLicenses",
        license_pb2.BindLicensesRequest(
            project=NAME, licenses=["ports", "no-such"], device="hq-box", request_id="bind", reason="test"
        ),
    ),
    (
        "LicenseService/ReleaseLicenses",
        license_pb2.ReleaseLicensesRequest(
            project=NAME, licenses=["ports", "no-such"], request_id="release", reason="test"
        ),
    ),
    (
        "LicenseService/CancelReleases",
        license_pb2.CancelReleasesRequest(project=NAME, licenses=["ports"], request_id="cancel", reason="test"),
    ),
    (
        "LicenseService/ReleaseLicenses",
        license_pb2.ReleaseLicensesRequest(
            project=NAME, licenses=["ports"], device_dead=True, request_id="dead", reason="test"
        ),
    ),
    (
        "LicenseService/ApproveReleases",
        license_pb2.ApproveReleasesRequest(project=NAME, licenses=["ports"], request_id="approve", reason="test"),
    ),
    (
        "LoanService/BorrowSeats",
        loan_pb2.BorrowSeatsRequest(
            pbx=f"{NAME}/pbxs/berlin", license_type="port", seats=2, request_id="borrow", reason="test"
        ),
    ),
    (
        "LoanService/ReturnLoan",
        loan_pb2.ReturnLoanRequest(
            pbx=f"{NAME}/pbxs/berlin", license_type="port", seats_kept=1, request_id="back", reason="test"
        ),
    ),
    (
        "AllocationService/DropWaiting",
        allocation_pb2.DropWaitingRequest(pbx=f"{NAME}/pbxs/berlin", request_id="drop", reason="test"),
    ),
    (
        "LeaseService/EndLease",
        lease_pb2.EndLeaseRequest(pbx=f"{NAME}/pbxs/berlin", request_id="end", reason="test"),
    ),
    (
        "AgreementService/PlaceOrder",
        agreement_pb2.PlaceOrderRequest(
            project=NAME,
            order=orders.AgreementOrder(add_credits=orders.AddCredits(amount="5")),
            request_id="order",
            reason="test",
        ),
    ),
    (
        "WebhookService/AddWebhook",
        webhook_pb2.AddWebhookRequest(
            name=f"{NAME}/webhooks/pager", url="http://127.0.0.1:1/", request_id="add", reason="test"
        ),
    ),
    (
        "WebhookService/AddWebhook",
        webhook_pb2.AddWebhookRequest(
            name=f"{NAME}/webhooks/gone", url="http://127.0.0.1:1/", request_id="also", reason="test"
        ),
    ),
    (
        "WebhookService/RemoveWebhook",
        webhook_pb2.RemoveWebhookRequest(name=f"{NAME}/webhooks/gone", request_id="remove", reason="test"),
    ),
    ("ProjectService/EndLearning", project_pb2.EndLearningRequest(project=NAME, request_id="learned", reason="test")),
    ("ProjectService/ApplyProject", project_pb2.ApplyProjectRequest(project=OTHER, request_id="apply")),
    (
        "ProjectService/DeleteProject",
        project_pb2.DeleteProjectRequest(name="projects/other", request_id="delete", reason="test"),
    ),
]
"""In an order in which each is carried out; the second webhook and the other project are gone in the end."""


@dataclass(slots=True)
class Asked:
    """A call that was answered."""

    method: str
    request: Any
    answer: Any

    @property
    def is_gone(self) -> bool:
        """Whether what it made was removed since, so that its answer is nobody's any more."""
        name = self.request.project.name if isinstance(self.request, project_pb2.ApplyProjectRequest) else ""
        return self.request.request_id == "also" or name == OTHER.name


def _call(wire: Wire, method: str, request: Any) -> Awaitable[Any]:
    service, name = method.split("/")
    stubs: dict[str, Any] = {
        "AllocationService": wire.allocations,
        "ProjectService": wire.projects,
        "LicenseService": wire.licenses,
        "LeaseService": wire.leases,
        "LoanService": wire.loans,
        "AgreementService": wire.agreements,
        "WebhookService": wire.webhooks,
    }
    caller = "ben" if name == "ApproveReleases" else "anna"
    call: Callable[..., Awaitable[Any]] = getattr(stubs[service], name)
    return call(request, metadata=(("caller", caller),))


async def _before(master: InProcess, request: Any, folder: Path) -> None:
    """What a request needs to find."""
    match request.request_id:
        case "bind":
            await imported(master.wire, Vendor(), {"ports": ("PBX-Port12", 4)}, now=master.clock.now)
            await enrolled(master.wire, folder, "hq-box")
        case "borrow":
            await opened(master.wire, "berlin")
            request.end_time.FromSeconds(int(master.clock.now) + 86_400)
        case "end":
            granted(await (await opened(master.wire, "berlin")).acquire(*seats("port", 3)))
        case "learned":
            running = master.running
            await begin_learning(
                running.database, running.estates, PROJECT, "a test", caller="test", time=running.lease_time()
            )


async def _all_asked(master: InProcess, folder: Path) -> list[Asked]:
    asked = []
    for method, request in REQUESTS:
        await _before(master, request, folder)
        asked.append(Asked(method, request, await _call(master.wire, method, request)))
    return asked


async def _again(master: InProcess, asked: list[Asked]) -> None:
    """All are sent again: each is answered as it was, and nothing more happens."""
    before = [event.id for event in await all_events(master.wire)]
    for want in asked:
        if want.is_gone:
            assert (await failure(_call(master.wire, want.method, want.request))).reason == "REQUEST_ID_TAKEN"
        else:
            assert await _call(master.wire, want.method, want.request) == want.answer, want.method
    assert [event.id for event in await all_events(master.wire)] == before


def _alter_the_audit(tx: Tx) -> None:
    tx.rows("UPDATE event SET details = '{}', kind = 'something.else'")


def test_every_request_with_an_id_is_repeated_here() -> None:
    have = {name for name, method in METHODS.items() if "request_id" in method.input_type.fields_by_name}
    assert have == {f"licensemaster.v1.{name}" for name in LEASE_ROW | {method for method, _ in REQUESTS}}


async def test_a_retry_is_answered_alike_by_whichever_master_and_whatever_the_audit_says(
    database_url: str, clock: Clock, tmp_path: Path
) -> None:
    async with in_process_master(database_url, clock) as master:
        asked = await _all_asked(master, tmp_path)
        await _again(master, asked)
    async with in_process_master(database_url, clock) as restarted:
        await _again(restarted, asked)
        await restarted.running.database.transact(_alter_the_audit)
        await _again(restarted, asked)


async def test_another_request_under_the_same_id_is_refused(any_master: InProcess, tmp_path: Path) -> None:
    asked = await _all_asked(any_master, tmp_path)
    before = await all_events(any_master.wire)
    for want in asked:
        changed = copy.deepcopy(want.request)
        changed.reason = "another"
        seen = await failure(_call(any_master.wire, want.method, changed))
        assert (seen.reason, [*seen.fields]) == ("REQUEST_ID_TAKEN", ["request_id"]), want.method
    other_kind = webhook_pb2.RemoveWebhookRequest(name=f"{NAME}/webhooks/pager", request_id="order")
    seen = await failure(any_master.wire.webhooks.RemoveWebhook(other_kind))
    assert seen.fields["request_id"] == (
        "request_id 'order' was used before, for PlaceOrder: choose a new one for each request"
    )
    assert await all_events(any_master.wire) == before


async def test_two_at_once_are_carried_out_once(any_master: InProcess, tmp_path: Path) -> None:
    for method, request in REQUESTS:
        await _before(any_master, request, tmp_path)
        first, second = await asyncio.gather(*(_call(any_master.wire, method, request) for _ in range(2)))
        assert first == second, method
    events = await all_events(any_master.wire)
    ids = Counter(event.request_id for event in events if event.request_id)
    assert ids == Counter({request.request_id for _, request in REQUESTS if request.request_id != "delete"})
    assert any_master.running.metrics.seats_returned._value.get() == 3


async def test_an_answer_is_kept_for_its_time_and_its_id_is_good_for_nothing_else_after_it(
    any_master: InProcess,
) -> None:
    wire, clock, database = any_master.wire, any_master.clock, any_master.running.database
    first = project_pb2.ApplyProjectRequest(project=TEN, request_id="first")
    answer = await wire.projects.ApplyProject(first)
    clock.advance(KEPT_SECONDS)
    assert await wire.projects.ApplyProject(first) == answer
    fewer = project({"PBX-Port12": 8})
    await wire.projects.ApplyProject(project_pb2.ApplyProjectRequest(project=fewer, request_id="second"))
    assert await wire.projects.ApplyProject(first) == answer
    clock.advance(1)
    await wire.projects.ApplyProject(project_pb2.ApplyProjectRequest(project=TEN, request_id="third"))
    kept = await database.read(lambda tx: tx.rows("SELECT request_id FROM request_answer ORDER BY request_id"))
    assert [row[0] for row in kept] == ["second", "third"]
    for late in (first, project_pb2.ApplyProjectRequest(project=fewer, request_id="first")):
        seen = await failure(wire.projects.ApplyProject(late))
        assert "a request whose answer is kept no longer" in seen.fields["request_id"]


async def test_nobody_else_is_told_a_secret_and_it_is_not_kept_twice(any_master: InProcess) -> None:
    await any_master.wire.apply(TEN)
    adding = next(request for _, request in REQUESTS if request.request_id == "add")
    added = await any_master.wire.webhooks.AddWebhook(adding, metadata=(("caller", "anna"),))
    seen = await failure(any_master.wire.webhooks.AddWebhook(adding, metadata=(("caller", "ben"),)))
    assert seen.reason == "REQUEST_ID_TAKEN"
    kept = await any_master.running.database.read(lambda tx: tx.rows("SELECT answer FROM request_answer"))
    assert kept
    assert not any(added.secret.encode() in bytes(row[0]) for row in kept)
