"""`license-master audit`: what happened, kept where nobody can change it unseen, and verified by anyone."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from licensemaster.files.texts import decoded, opened
from licensemaster.files.writer import Before, file_written
from licensemaster.v1 import audit_pb2, status_pb2
from licensemaster.values import PUBLIC_KEY_BYTES, BadValueError, key_text, public_key
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, JsonOption, ProjectOption, ServerOption
from master.cli.output.enum_names import in_words
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import (
    json_time,
    print_json_object,
    short_name,
    stderr_console,
    stdout_console,
    visible,
)
from master.domain.audit.chain import Record
from master.domain.audit.export import (
    LINE_BYTES_MAX,
    Checkpoint,
    ExportVerdict,
    Header,
    Part,
    continues,
    line_of,
    verify_export,
)

VERIFY_SECONDS = 3600.0
_LOOK = "docs/audit.md says what to do; keep the database and every export as they are until then"

app = typer.Typer(help="The audit: export it, verify it.", no_args_is_help=True)


@asks_master(app, "export", as_json=False)
def export(
    master: Master,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to a new FILE instead of standard output.")
    ] = None,
    since_seq: Annotated[int, typer.Option("--since-seq", min=1, max=10**15, metavar="N", help="From event N on.")] = 1,
) -> None:
    """Write a project's events, oldest first, as JSON lines that end with the master's signature."""
    name = master.project
    last: Part | None = None
    with _written_to(out) as file:
        for last in _shown(_parts(master, name, since_seq)):
            file.write(_line(last))
    if not isinstance(last, Checkpoint):
        raise CommandFailed("the master's answer ended without its checkpoint", remedy="run the command again")
    summary = f"{short_name(name)}: up to event {last.end.seq:,}, signed with the key {last.public_key.hex()}"
    stderr_console().print(visible(summary), soft_wrap=True)


@app.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export; without one the master verifies its own chain.")
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="HEX_OR_FILE", help="The master's public key, as known from elsewhere.")
    ] = "",
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="OLD_EXPORT", help="See that the master's chain still goes on from an older export."
        ),
    ] = None,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Find any event that was altered, removed, inserted or moved: in FILE, asking nobody, or in the running master."""
    if file is not None and against is not None:
        raise typer.BadParameter("--against is for the running master; leave FILE out")
    if key and file is None and against is None:
        raise typer.BadParameter("--key is for an export; name a FILE, or one with --against")
    trusted = _key(key) if key else None
    wanted = short_name(project or "")
    if file is not None:
        _report(_verified_file(file, wanted, trusted), trusted, as_json=as_json)
    elif against is not None:
        _verify_against(_verified_file(against, wanted, trusted), trusted, as_json=as_json, server=server)
    else:
        with Connection(server) as connection:
            answer = _verified_by_master(connection, connection.project_name(project))
        if as_json:
            print_json_object({"events": answer.events, "seq": answer.head_seq, "hash": answer.head_hash.hex()})
        else:
            _say(f"{answer.events:,} events, all as they were written; the last one's hash is {answer.head_hash.hex()}")


def _verify_against(old: ExportVerdict, trusted: bytes | None, *, as_json: bool, server: str) -> None:
    """Have the master verify its chain, verify here that the chain continues the old export, and print the result."""
    assert old.checkpoint is not None
    earlier = old.checkpoint
    with Connection(server) as connection:
        name = f"projects/{earlier.project}"
        answer = _verified_by_master(connection, name)
        if answer.head_seq < earlier.end.seq:
            shorter = f"the chain ends with event {answer.head_seq}, but was exported up to event {earlier.end.seq}"
            raise CommandFailed(f"{server}: {shorter}: the history was rewritten", remedy=_LOOK)
        lines = (_line(part) for part in _parts(connection, name, earlier.end.seq + 1))
        since = continues(
            verify_export(lines, signed=_has_signed, project=earlier.project, key=trusted or earlier.public_key),
            earlier,
        )
    _fail_on_defect(since, server)
    if as_json:
        _report(since, trusted, as_json=True)
        return
    then = f"the chain of project {earlier.project} up to event {earlier.end.seq:,} is the one exported"
    _say(f"{then} {_moment(earlier.time_us)}; {since.events:,} more since")


def _verified_by_master(connection: Connection, name: str) -> audit_pb2.VerifyAuditResponse:
    request = audit_pb2.VerifyAuditRequest(project=name)
    answer = connection.call(connection.audit.VerifyAudit, request, timeout_seconds=VERIFY_SECONDS)
    if answer.HasField("defect"):
        kind = in_words(audit_pb2.AuditDefectKind.DESCRIPTOR, answer.defect.kind)
        raise CommandFailed(
            f"the audit of project {short_name(name)} is not what was written: {answer.defect.message}",
            lines=[f"found: {kind}, at event {answer.defect.seq}", f"{answer.events:,} events before it are right"],
            remedy=_LOOK,
        )
    return answer


def _verified_file(file: Path, project: str, trusted: bytes | None) -> ExportVerdict:
    try:
        with opened(file) as export:
            verdict = verify_export(_lines(export), signed=_has_signed, project=project, key=trusted)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from error
    _fail_on_defect(verdict, str(file))
    return verdict


def _fail_on_defect(verdict: ExportVerdict, source: str) -> None:
    defect = verdict.defect
    if defect is None:
        return
    place = f"{source}:{defect.line}" if defect.line else source
    lines = [f"found: {defect.kind.value}"]
    if verdict.events:
        lines.append(f"{verdict.events:,} events before it are right")
    raise CommandFailed(f"{place}: {defect.message}", lines=lines, remedy=_LOOK)


def _report(verdict: ExportVerdict, trusted: bytes | None, *, as_json: bool) -> None:
    header, checkpoint = verdict.header, verdict.checkpoint
    assert header is not None
    assert checkpoint is not None
    if as_json:
        print_json_object(
            {
                "project": f"projects/{header.project}",
                "first_seq": header.first_seq,
                "events": verdict.events,
                "seq": checkpoint.seq,
                "hash": checkpoint.hash.hex(),
                "time": json_time(checkpoint.time_us / 1_000_000),
                "public_key": checkpoint.public_key.hex(),
                "key_trusted": trusted is not None,
            }
        )
        return
    of = f"{verdict.events:,} events of project {header.project}, as they were {_moment(checkpoint.time_us)}"
    if header.first_seq == 1:
        _say(f"{of}: all that there were, as they were written")
    else:
        _say(f"{of}: a part, from event {header.first_seq:,} on, as they were written; those before it are not in it")
    by = f"signed with the key {checkpoint.public_key.hex()}"
    _say(f"{by}, the one trusted" if trusted else f"{by}, which only the file itself names; --key says which to trust")


def _parts(connection: Connection, name: str, since_seq: int) -> Iterator[Part]:
    """Yield the parts of an export as the master sends them."""
    request = audit_pb2.ExportEventsRequest(project=name, since_seq=since_seq)
    for answer in connection.stream(connection.audit.ExportEvents, request):
        match answer.WhichOneof("part"):
            case "header":
                header = answer.header
                yield Header(short_name(header.project), header.first_seq, header.previous_hash)
            case "events":
                yield from map(_record, answer.events.events)
            case "checkpoint":
                checkpoint = answer.checkpoint
                yield Checkpoint(
                    short_name(checkpoint.project),
                    checkpoint.seq,
                    checkpoint.hash,
                    checkpoint.time.ToMicroseconds(),
                    checkpoint.public_key,
                    checkpoint.signature,
                )
            case _:  # of a newer master; the verifier notices what is missing
                pass


def _record(event: status_pb2.Event) -> Record:
    return Record(
        event.seq,
        event.time.ToMicroseconds(),
        event.kind,
        short_name(event.pbx),
        event.caller,
        event.request_id,
        event.reason,
        event.details,
        event.hash,
    )


def _shown(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the parts of an export, and show on a terminal how far the export is."""
    from rich.progress import Progress

    with Progress(console=stderr_console(), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("events")
        for part in parts:
            yield part
            progress.advance(task)


def _line(part: Part) -> bytes:
    return f"{line_of(part)}\n".encode()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; a line longer than any line of an export is cut, and so is no valid line."""
    while line := file.readline(LINE_BYTES_MAX):
        yield line


@contextmanager
def _written_to(out: Path | None) -> Iterator[BinaryIO]:
    """Open a file that appears once it is whole and replaces no other, or standard output if `out` is None."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with file_written(out, before=Before.KEPT) as file:
            yield file
    except FileExistsError as error:
        raise CommandFailed(f"{out} exists, and an export may be evidence", remedy="name another file") from error
    except OSError as error:
        raise CommandFailed(f"{out} cannot be written: {error.strerror}") from error


def _key(given: str) -> bytes:
    """Read a public key: 64 hexadecimal digits, or a file with these digits or with the raw 32 bytes."""
    text = given
    if len(given) != 64 or Path(given).exists():
        try:
            with opened(Path(given)) as file:
                read = file.read(1000)
        except OSError as error:
            reason = f"{given!r} is neither a key of 64 hexadecimal digits nor a file that can be read"
            raise typer.BadParameter(reason, param_hint="--key") from error
        if len(read) == PUBLIC_KEY_BYTES:
            return _checked(read)
        text = decoded(read, source=given)
    try:
        public_key = bytes.fromhex(key_text(text))
    except ValueError:
        public_key = b""
    if len(public_key) != PUBLIC_KEY_BYTES:
        reason = f"{given!r} holds no public key; one has 32 bytes, or 64 hexadecimal digits"
        raise typer.BadParameter(reason, param_hint="--key")
    return _checked(public_key)


def _checked(key: bytes) -> bytes:
    try:
        return public_key(key)
    except BadValueError as error:
        raise typer.BadParameter(str(error), param_hint="--key") from error


def _has_signed(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    from master.signing import has_signed_checkpoint

    return has_signed_checkpoint(public_key, payload, signature)


def _moment(time_us: int) -> str:
    try:
        return f"on {datetime.fromtimestamp(time_us / 1_000_000, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"at {time_us} us"


def _say(text: str) -> None:
    stdout_console().print(visible(text), soft_wrap=True)
