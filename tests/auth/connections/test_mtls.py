"""Certificates on real connections: who is let in, who is turned away, counted, and told no more than it may know."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from structlog.testing import capture_logs

from licensemaster.files.writer import write_file
from licensemaster.v1 import lease_pb2, license_pb2, plan_pb2, project_pb2, status_pb2
from master.auth.authority.keys import key_pem, new_key, pem
from master.auth.callers.identity import identity_of
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import failure
from tests.support.databases.truth import all_events
from tests.support.masters import InProcess, Wire, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, imported
from tests.support.waiting import until

CODE = grpc.StatusCode
ACME = "projects/acme"


def denied(master: InProcess, reason: str) -> float:
    """How many were turned away for that reason."""
    return _counter(master, "license_master_calls_denied_total", reason=reason)


def handled(master: InProcess) -> float:
    return _counter(master, "grpc_server_handled_total")


def _counter(master: InProcess, name: str, **labels: str) -> float:
    """The sum of some samples; the gauges of the estate are left alone, as they wait for this very loop."""
    families = master.running.metrics.registry.restricted_registry([name]).collect()
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


async def test_a_pbx_works_and_the_audit_says_who_it_proved_to_be(secured: InProcess, berlin: Wire) -> None:
    pbx = await opened(berlin, "berlin")
    granted(await pbx.acquire(*seats("port", 2)))
    events = await all_events(secured.wire)
    callers = {event.kind: event.caller.partition(" ")[0] for event in events}
    assert callers["lease.opened"] == "license-master://projects/acme/pbxs/berlin"
    assert callers["project.applied"] == "license-master://operators/anna"


@pytest.mark.parametrize("shows", ["nothing", "a foreign certificate", "an expired one", "plain text"])
async def test_who_has_no_certificate_of_ours_gets_no_connection(
    secured: InProcess, pki: Pki, tmp_path: Path, shows: str
) -> None:
    long_ago = time.time() - 40 * 86_400
    other = Pki(tmp_path / "other", name="test")  # the same name, another key
    before, begun = handled(secured), _counter(secured, "license_master_tls_handshakes_total")
    request = status_pb2.GetStatusRequest(project=ACME)
    if shows == "plain text":
        async with wire_to(secured.wire.address) as wire:
            failed = await failure(wire.status.GetStatus(request))
    else:
        credentials = {
            "nothing": grpc.ssl_channel_credentials(pki.ca),
            "a foreign certificate": other.certified_key("operators/anna", ca=pki.ca).credentials,
            "an expired one": pki.certified_key("operators/anna", now=long_ago).credentials,
        }[shows]
        async with shown_to(secured.wire.address, credentials) as wire:
            failed = await failure(wire.status.GetStatus(request))
    assert failed.code is CODE.UNAVAILABLE
    assert "acme" not in failed.message
    assert handled(secured) == before
    assert _counter(secured, "license_master_tls_handshakes_total") > begun


async def test_a_pbx_does_not_take_another_pbx_for_a_master(secured: InProcess, pki: Pki) -> None:
    impostor = pki.certified_key(f"{ACME}/pbxs/paris")

    async def never(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        raise AssertionError("somebody trusted it")

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(never)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a", {"b": handler}),))
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(impostor.key, impostor.certificate)], impostor.ca)
    )
    await server.start()
    async with shown_to(f"localhost:{port}", pki.certified_key(f"{ACME}/pbxs/berlin").credentials) as wire:
        assert (await failure(opened(wire, "berlin"))).code is CODE.UNAVAILABLE
    await server.stop(0)


async def test_a_viewer_that_tries_to_write(secured: InProcess, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.certified_key("viewers/wall").credentials) as wire:
        await wire.status.GetStatus(status_pb2.GetStatusRequest(project=ACME))
        failed = await failure(wire.apply(project({"PBX-Port12": 500})))
        release = license_pb2.ReleaseLicensesRequest(project=ACME, licenses=["license-1"], request_id="1")
        assert (await failure(wire.licenses.ReleaseLicenses(release))).reason == "ROLE_FORBIDDEN"
    assert (failed.code, failed.reason, failed.info) == (CODE.PERMISSION_DENIED, "ROLE_FORBIDDEN", "ROLE_FORBIDDEN")
    assert denied(secured, "ROLE_FORBIDDEN") == 2
    status = await secured.wire.status.GetStatus(status_pb2.GetStatusRequest(project=ACME))
    assert (status.revision, status.pools[0].capacity) == (1, 5)


async def test_who_is_turned_away_is_named_in_the_log_as_often_as_it_can_bear(secured: InProcess, pki: Pki) -> None:
    certified_key = pki.certified_key(f"{ACME}/pbxs/paris")
    with capture_logs() as logs:
        async with shown_to(secured.wire.address, certified_key.credentials) as wire:
            for _ in range(25):
                await failure(BarePbx(wire, "berlin").renew())
            secured.clock.advance(60)
            await failure(BarePbx(wire, "berlin").renew())
    lines = [line for line in logs if line["event"] == "a caller was turned away"]
    assert (len(lines), lines[-1]["left_out"]) == (21, 5)
    assert (lines[0]["caller"], lines[0]["serial"]) == (certified_key.issued.subject.uri, certified_key.issued.serial)
    assert (lines[0]["reason"], lines[0]["method"].rpartition("/")[2]) == ("NOT_YOUR_PBX", "RenewLease")
    assert lines[0]["peer"].startswith("ipv4:127.0.0.1:")


@pytest.mark.parametrize("secured", [{"caller_streams_max": 1}], indirect=True)
async def test_who_asks_too_much_in_a_conversation_is_turned_away_once(secured: InProcess, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.certified_key("viewers/wall").credentials) as wire:
        converse: Any = wire.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        first = converse()
        await first.write(ServerReflectionRequest(list_services="").SerializeToString())
        assert await first.read()
        assert (await failure(converse().read())).reason == "CALLER_LIMIT"
        assert denied(secured, "CALLER_LIMIT") == 1


async def test_a_pbx_acts_for_no_other_and_learns_nothing_of_others(secured: InProcess, berlin: Wire, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.certified_key(f"{ACME}/pbxs/paris").credentials) as wire:
        paris = await opened(wire, "paris")
        granted(await paris.acquire(*seats("port", 1)))
    forged = BarePbx(berlin, "paris")
    forged.epoch = paris.epoch
    seens = [
        await failure(forged.open()),
        await failure(forged.renew()),
        await failure(forged.close()),
        await failure(forged.acquire(*seats("port", 1))),
        await failure(BarePbx(berlin, "no-such-pbx").renew()),
        await failure(berlin.leases.RenewLease(lease_pb2.RenewLeaseRequest(pbx="projects/globex/pbxs/hq", epoch=1))),
    ]
    assert {(seen.code, seen.reason) for seen in seens} == {(CODE.PERMISSION_DENIED, "NOT_YOUR_PBX")}
    assert len({seen.message for seen in seens}) == 1
    assert denied(secured, "NOT_YOUR_PBX") == len(seens)
    listed = await secured.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=ACME))
    assert next(lease for lease in listed.leases if lease.pbx.endswith("/paris")).seats == 1


async def test_a_stream_may_not_watch_another_pbx_either(secured: InProcess, berlin: Wire) -> None:
    call = berlin.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=f"{ACME}/pbxs/paris", epoch=1))
    assert (await failure(call.read())).reason == "NOT_YOUR_PBX"


async def test_a_standby_acts_for_the_pbx_it_stands_in_for_and_no_other_does(
    secured: InProcess, berlin: Wire, pki: Pki
) -> None:
    granted(await (await opened(berlin, "berlin")).acquire(*seats("port", 2)))
    async with (
        shown_to(secured.wire.address, pki.certified_key(f"{ACME}/pbxs/spare").credentials) as spare,
        shown_to(secured.wire.address, pki.certified_key(f"{ACME}/pbxs/paris").credentials) as paris,
    ):
        own = await opened(spare, "spare")
        taken = await spare.leases.TakeOverLease(
            lease_pb2.TakeOverLeaseRequest(
                standby=own.name,
                standby_epoch=own.epoch,
                primary=f"{ACME}/pbxs/berlin",
                instance_id=own.instance_id,
                request_id="1",
                software_version="12",
                force=True,
            )
        )
        assert taken.seats_held == 2, taken
        renewal = lease_pb2.RenewLeaseRequest(pbx=f"{ACME}/pbxs/berlin", epoch=taken.lease.epoch)
        assert (await spare.leases.RenewLease(renewal)).lease.epoch == taken.lease.epoch
        assert (await failure(paris.leases.RenewLease(renewal))).reason == "NOT_YOUR_PBX"


async def test_a_revoked_certificate_is_good_for_nothing_at_once(secured: InProcess, pki: Pki) -> None:
    certified_key = pki.certified_key(f"{ACME}/pbxs/berlin")
    async with shown_to(secured.wire.address, certified_key.credentials) as wire:
        pbx = await opened(wire, "berlin")
        stream = wire.leases.WatchLease(lease_pb2.WatchLeaseRequest(pbx=pbx.name, epoch=pbx.epoch))
        await _is_watched(secured)
        pki.authority.revoke([certified_key.issued], now=time.time())
        assert secured.running.authorizer is not None
        await secured.running.authorizer.run_once()
        ended = await failure(_read_to_its_end(stream))
        assert (ended.code, ended.reason) == (CODE.UNAUTHENTICATED, "CERTIFICATE_REVOKED")
        failed = await failure(pbx.renew())
    assert (failed.code, failed.reason) == (CODE.UNAUTHENTICATED, "CERTIFICATE_REVOKED")
    assert denied(secured, "CERTIFICATE_REVOKED") == 2
    async with shown_to(secured.wire.address, certified_key.credentials) as wire:
        assert (await failure(opened(wire, "berlin"))).reason == "CERTIFICATE_REVOKED"
    async with shown_to(secured.wire.address, pki.certified_key(f"{ACME}/pbxs/berlin").credentials) as wire:
        await opened(wire, "berlin")


async def test_a_revoked_key_is_good_for_nothing_under_another_certificate_either(secured: InProcess, pki: Pki) -> None:
    """One that was issued by a copy of the authority, which knows of no revocation."""
    key, now = new_key(), time.time()
    berlin, anna = (identity_of(f"license-master://{text}") for text in (f"{ACME}/pbxs/berlin", "operators/anna"))
    issued = pki.authority.issue(berlin, key.public_key(), days=30, now=now)
    other = pki.authority.issue(anna, key.public_key(), days=30, now=now)
    (pki.folder / "issued" / f"{other.serial}.crt").unlink()
    assert [issued_one.serial for issued_one in pki.authority.revoke([issued], now=now)] == [issued.serial]
    credentials = grpc.ssl_channel_credentials(pki.ca, key_pem(key), pem(other.certificate))
    async with shown_to(secured.wire.address, credentials) as wire:
        failed = await failure(wire.projects.ListProjects(project_pb2.ListProjectsRequest()))
    assert failed.reason == "CERTIFICATE_REVOKED"


async def _read_to_its_end(stream: AsyncIterable[object]) -> None:
    async for _ in stream:
        pass


async def _is_watched(master: InProcess) -> None:
    """Wait until the master serves one stream."""
    await until(lambda: _counter(master, "license_master_watch_streams"))


async def test_a_certificate_that_ends_on_an_open_connection(secured: InProcess, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.certified_key(f"{ACME}/pbxs/berlin", days=1).credentials) as wire:
        pbx = await opened(wire, "berlin")
        secured.clock.advance(2 * 86_400)
        failed = await failure(pbx.renew())
    assert (failed.code, failed.reason) == (CODE.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")
    assert denied(secured, "CERTIFICATE_EXPIRED") == 1


async def test_a_new_certificate_serves_without_a_restart_and_a_broken_one_does_not(
    secured: InProcess, pki: Pki
) -> None:
    ends = _counter(secured, "license_master_certificate_end_timestamp_seconds")
    pki.serve(pki.server_key(days=90))
    async with shown_to(secured.wire.address, pki.certified_key("operators/anna").credentials) as wire:
        await wire.projects.ListProjects(project_pb2.ListProjectsRequest())
    newer = _counter(secured, "license_master_certificate_end_timestamp_seconds")
    assert newer - ends == pytest.approx(60 * 86_400, abs=60)
    write_file(pki.folder / "server.crt", b"half a certifi")
    async with shown_to(secured.wire.address, pki.certified_key("operators/anna").credentials) as wire:
        await wire.projects.ListProjects(project_pb2.ListProjectsRequest())
    assert _counter(secured, "license_master_certificate_end_timestamp_seconds") == newer
    assert _counter(secured, "license_master_certificate_files_usable") == 0
    pki.serve(pki.foreign(key="Ed25519"))  # gRPC reads it, and can then speak to nobody
    secured.clock.advance(61)  # the log says it once a minute
    with capture_logs() as logs:
        async with shown_to(secured.wire.address, pki.certified_key("operators/anna").credentials) as wire:
            await wire.projects.ListProjects(project_pb2.ListProjectsRequest())
    assert _counter(secured, "license_master_certificate_files_usable") == 0
    assert "its key is Ed25519" in str([line.get("reason") for line in logs])


async def test_somebody_confined_to_a_project_sees_no_other(secured: InProcess, pki: Pki) -> None:
    foreign = project({"PBX-Port12": 5})
    foreign.name = "globex"
    await secured.wire.apply(foreign)
    async with shown_to(secured.wire.address, pki.certified_key(f"{ACME}/operators/otto").credentials) as wire:
        listed = await wire.projects.ListProjects(project_pb2.ListProjectsRequest(page_size=1))
        assert list(listed.names) == [ACME]
        following = project_pb2.ListProjectsRequest(page_size=1, page_token=listed.next_page_token or "acme")
        assert not (await wire.projects.ListProjects(following)).names
        seens = [
            await failure(wire.status.GetStatus(status_pb2.GetStatusRequest(project=name)))
            for name in ("projects/globex", "projects/no-such-project", "", "projects/acme2")
        ]
        seens.append(await failure(wire.apply(foreign)))
        plan = plan_pb2.PlanChangesRequest(project="projects/globex")
        seens.append(await failure(wire.plans.PlanChanges(plan)))
    assert {(seen.code, seen.reason) for seen in seens} == {(CODE.PERMISSION_DENIED, "NOT_YOUR_PROJECT")}
    assert len({seen.message for seen in seens}) == 1


async def test_a_name_that_is_only_claimed_counts_for_nothing(secured: InProcess, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.certified_key("operators/otto").credentials) as wire:
        request = project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 6}), request_id="1")
        await wire.projects.ApplyProject(request, metadata=(("caller", "license-master://operators/anna"),))
    [event, *_] = await all_events(secured.wire)
    assert event.caller.startswith("license-master://operators/otto (")


async def test_in_plain_text_nobody_gets_a_proven_name(master: InProcess) -> None:
    request = project_pb2.ApplyProjectRequest(project=project({"PBX-Port12": 6}), request_id="1")
    claimed = (("caller", "license-master://operators/anna"),)
    await master.wire.projects.ApplyProject(request, metadata=claimed)
    [event, *_] = await all_events(master.wire)
    assert "anna" not in event.caller


async def test_the_second_operator_is_another_person(secured: InProcess, pki: Pki) -> None:
    await imported(secured.wire, Vendor(), {"l-1": ("PBX-Port12", 3)}, now=secured.clock.now)
    bind = license_pb2.BindLicensesRequest(project=ACME, licenses=["l-1"], device="berlin-box", request_id="1")
    await secured.wire.licenses.BindLicenses(bind)
    dead = license_pb2.ReleaseLicensesRequest(
        project=ACME, licenses=["l-1"], device_dead=True, in_use=license_pb2.IN_USE_REFUSE, request_id="2"
    )
    answer = await secured.wire.licenses.ReleaseLicenses(dead)
    assert answer.results[0].HasField("moved"), answer
    same = license_pb2.MOVE_PROBLEM_SAME_OPERATOR
    for number, (who, problem) in enumerate(
        [("operators/anna", same), (f"{ACME}/operators/anna", same), ("operators/otto", 0)]
    ):
        approve = license_pb2.ApproveReleasesRequest(project=ACME, licenses=["l-1"], request_id=f"a-{number}")
        async with shown_to(secured.wire.address, pki.certified_key(who).credentials) as wire:
            [result] = (await wire.licenses.ApproveReleases(approve)).results
        assert result.refused.problem == problem, who


async def test_a_masters_own_certificate_asks_for_health_and_nothing_else(secured: InProcess, pki: Pki) -> None:
    async with shown_to(secured.wire.address, pki.server_key().credentials) as wire:
        health: Any = health_pb2_grpc.HealthStub(wire.channel)  # its stubs name no methods
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        failed = await failure(wire.projects.ListProjects(project_pb2.ListProjectsRequest()))
    assert failed.reason == "ROLE_FORBIDDEN"


async def test_an_unknown_pbx_with_a_good_certificate_leaves_a_line_and_no_flood(secured: InProcess, pki: Pki) -> None:
    """Its site is offline for good, and only the master knows why."""
    certified_key = pki.certified_key("projects/acme/pbxs/mistyped")
    async with shown_to(secured.wire.address, certified_key.credentials) as wire:
        with capture_logs() as logs:
            for _ in range(30):
                assert (await failure(opened(wire, "mistyped"))).reason == "UNKNOWN_PBX"
    lines = [log for log in logs if log["event"] == "an unknown PBX was named"]
    assert 1 <= len(lines) <= 10
    assert "license-master://projects/acme/pbxs/mistyped" in lines[0]["caller"]
    assert "projects/acme/pbxs/mistyped is unknown" in lines[0]["why"]
    assert lines[0]["method"].endswith("/OpenLease")
