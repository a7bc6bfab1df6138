"""What the operator reads when the master, or the way to it, fails: cause, particulars, remedy, exit code."""

import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner

from licensemaster.v1 import project_pb2
from master.cli.connection.connection import caller
from master.cli.main import app
from master.launch import reserved_port
from tests.cli.command import run_blocking as run

FILE = 'name = "acme"\n[[licenses]]\nid = "ports"\nquantity = 0\n'

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


class FailingServer(grpc.GenericRpcHandler):
    """A server that answers every call with what the test wants."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(self._handler)


@contextmanager
def serving(handler: Handler) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[FailingServer(handler)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def failing(code: int, message: str, *details: Message) -> Handler:
    def handler(request: bytes, context: grpc.ServicerContext) -> bytes:
        packed = [any_pb2.Any() for _ in details]
        for box, detail in zip(packed, details, strict=True):
            box.Pack(detail)
        status = status_pb2.Status(code=code, message=message, details=packed)
        context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort_with_status raises")

    return handler


@pytest.fixture
def project_file(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(FILE)
    return path


def test_nobody_answers() -> None:
    address = f"127.0.0.1:{reserved_port()}"
    done = run("status", "--server", address)
    assert done.code == 1
    assert done.out == ""
    assert f"error: no master answers at {address}" in done.err
    assert "try: start one with `license-master serve`, or name another with --server" in done.err


def test_the_server_comes_from_the_environment() -> None:
    address = f"127.0.0.1:{reserved_port()}"
    assert f"no master answers at {address}" in run("leases", LICENSE_MASTER_SERVER=address).err


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost", "no port in 'localhost'; write HOST:PORT"),
        (":7600", "no host in ':7600'"),
        ("host:0", "port 0 in 'host:0' is none to connect to"),
        ("host:65536", "port 65536 is above 65535"),
        ("http://host:7600", "begins with http://, which no address has"),
        ("a b:1", "host 'a b' is no name and no IP address"),
        ("h:x", "port 'x' in 'h:x' is no number"),
    ],
)
def test_not_an_address(address: str, said: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["status", "--server", address])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["explain", "hq", "port"],
        ["explain", "hq", "port", "user-1", "--kind", "robot"],
        ["leases", "--state", "sleepy"],
        ["seats", "--limit", "-1"],
        ["status", "--watch", "0"],
        ["project", "show", "acme", "--toml", "--json"],
    ],
)
def test_not_a_command_line(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_not_a_command_line_for_the_installed_command_either() -> None:
    assert run("nonsense").code == 2


def test_violations_are_put_on_the_lines_of_the_file(project_file: Path) -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="project.licenses[0].quantity", description="must be 1 to 1,000,000; it is 0")
    bad.field_violations.add(field="project.pbxs", description="one PBX must have the role master")
    with serving(failing(code_pb2.INVALID_ARGUMENT, "the project is not valid", bad)) as address:
        done = run("project", "apply", str(project_file), "--server", address)
    assert done.code == 1
    assert f"{project_file} has 2 problems; nothing was changed" in done.err
    assert f"{project_file}:4: licenses[0].quantity: must be 1 to 1,000,000; it is 0" in done.err
    assert f"{project_file}: pbxs: one PBX must have the role master" in done.err


def test_error_info_is_shown_with_its_remedy() -> None:
    info = error_details_pb2.ErrorInfo(
        reason="PROJECT_NOT_FOUND", metadata={"project": "acme", "remedy": "apply it first"}
    )
    with serving(failing(code_pb2.NOT_FOUND, "no project acme", info)) as address:
        done = run("status", "--project", "acme", "--server", address)
    assert done.code == 1
    assert done.err.splitlines() == [
        "error: no project acme",
        "  reason: PROJECT_NOT_FOUND",
        "  project: acme",
        "try: apply it first",
    ]


def test_resources_are_named_in_words_and_certificates_as_they_are() -> None:
    message = (
        "license-master://projects/acme/pbxs/berlin may not end the lease of projects/acme/pbxs/kiel in projects/acme"
    )
    with serving(failing(code_pb2.PERMISSION_DENIED, message)) as address:
        done = run("status", "--server", address)
    said = " ".join(done.err.split())
    assert "license-master://projects/acme/pbxs/berlin may not end the lease of PBX kiel in project acme" in said


def test_a_busy_master_says_when_to_come_back() -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000))
    with serving(failing(code_pb2.RESOURCE_EXHAUSTED, "the queue is full", retry)) as address:
        done = run("status", "--project", "acme", "--server", address)
    assert "error: the queue is full" in done.err
    assert "try: again in 1.5 s: the master is busy" in done.err


def test_a_request_beyond_the_limit_is_no_busy_master() -> None:
    said = "SERVER: Received message larger than max (5000070 vs. 4194304)"
    with serving(failing(code_pb2.RESOURCE_EXHAUSTED, said)) as address:
        done = run("status", "--project", "acme", "--server", address)
    assert done.err.splitlines() == [
        "error: the request has 5,000,070 bytes, and the master takes 4,194,304 at most; nothing was changed",
        "try: shorten what the file says, or divide it",
    ]


def test_a_master_that_is_going_away_is_not_taken_for_an_absent_one() -> None:
    info = error_details_pb2.ErrorInfo(reason="DRAINING")
    with serving(failing(code_pb2.UNAVAILABLE, "this master is stopping", info)) as address:
        done = run("status", "--project", "acme", "--server", address)
    assert "error: this master is stopping" in done.err
    assert "no master answers" not in done.err


def test_hostile_messages_do_not_reach_the_terminal() -> None:
    with serving(failing(code_pb2.INTERNAL, "\x1b[2J[red]gone")) as address:
        done = run("status", "--project", "acme", "--server", address)
    assert r"error: \x1b[2J[red]gone" in done.err
    assert "\x1b" not in done.err


def test_another_program_on_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, futures.ThreadPoolExecutor(1) as pool:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def talk_http() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        pool.submit(talk_http)
        done = run("status", "--project", "acme", "--server", address)
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "try: " in done.err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "has no project yet"),
        (["projects/one", "projects/two"], "has several projects: one, two\ntry: name one with --project"),
    ],
)
def test_which_project_is_meant(names: list[str], said: str) -> None:
    answer = project_pb2.ListProjectsResponse(names=names).SerializeToString()
    with serving(lambda request, context: answer) as address:
        done = run("status", "--server", address)
    assert done.code == 1
    assert said in done.err


def test_calls_name_their_caller() -> None:
    seen: list[str] = []

    def note(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.extend(str(value) for key, value in context.invocation_metadata() if key == "caller")
        return b""

    with serving(note) as address:
        assert run("status", "--project", "acme", "--server", address).code == 0
    assert seen == [caller()]
    assert caller().startswith("cli:")


def test_version_and_help() -> None:
    assert run("--version").out.startswith("license-master ")
    listed = run("--help").out
    for command in ["project", "status", "pools", "seats", "leases", "events", "explain"]:
        assert f"│ {command} " in listed
    assert "FILE" in run("project", "apply", "--help").out


def test_an_offline_check_asks_no_master(project_file: Path) -> None:
    done = run("project", "check", str(project_file), "--offline")
    assert (done.code, done.err) == (0, "")
    assert "well-formed; 0 sites, 0 PBXs, 1 license item" in done.out
    project_file.write_text("nam = 1\n")
    done = run("project", "check", str(project_file), "--offline")
    assert done.code == 1
    assert f"{project_file}:1: nam: unknown key; did you mean 'name'?" in done.err


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("STORAGE_UNAVAILABLE", "again in 1.5 s: the master waits for its database"),
        ("STORAGE_REPLACED", "where it was restored, `license-master db restored`; then start the master anew"),
        ("STORAGE_REFUSED", "whoever runs the master finds in its log what helps"),
    ],
)
def test_a_master_without_its_database_is_waited_for_only_where_that_helps(reason: str, remedy: str) -> None:
    info = error_details_pb2.ErrorInfo(reason=reason)
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1_500)
    with serving(failing(code_pb2.UNAVAILABLE, "its database fails", info, retry)) as address:
        done = run("project", "list", "--server", address)
    assert f"try: {remedy}\n" in done.err
