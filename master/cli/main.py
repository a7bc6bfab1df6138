"""The `license-master` command: which commands there are, and how it ends.

Exit codes: 0 done, 1 failed or refused, 2 not a valid command line, 130 interrupted (Ctrl-C, SIGTERM). What went wrong
is said on standard error: in words, or with `--json` as one JSON object `{"error": {...}}` on a line of its own.
"""

import codecs
import io
import json
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from licensemaster.files.own_output import OwnOutput
from licensemaster.files.texts import FileError
from master.cli.command_table import RootGroup
from master.cli.connection.options import (
    DEFAULT_SERVER,
    ProfileOption,
    ProjectOption,
    ServerOption,
    TlsCaOption,
    TlsCertificateOption,
    TlsKeyOption,
)
from master.cli.output.failure import CommandFailed, print_failure
from master.cli.output.file_remedies import file_remedy

INTERRUPTED = 130
"""The exit code of an interrupted command, as shells have it for Ctrl-C."""
_IN_ASCII = {
    "●": "*",
    "○": "o",
    "→": "->",
    "←": "<-",
    "·": "-",
    "…": "...",
    "\u2013": "-",
    "\u2014": "-",
    "\u2019": "'",
}


def in_its_characters(failed: UnicodeError) -> tuple[str, int]:
    """Replace characters that the terminal lacks: our own signs by ASCII, those of names by their code points."""
    assert isinstance(failed, UnicodeEncodeError)
    lacking = failed.object[failed.start : failed.end]
    shown = (
        _IN_ASCII.get(character) or character.encode("ascii", "backslashreplace").decode() for character in lacking
    )
    return "".join(shown), failed.end


app = typer.Typer(
    name="license-master",
    cls=RootGroup,
    help="The open license master for multi-site PBX estates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # loads what reads e-mail

        typer.echo(f"license-master {version('license-master')}")
        raise typer.Exit


@app.callback()
def options(
    profile: ProfileOption = None,
    server: ServerOption = DEFAULT_SERVER,
    project: ProjectOption = None,
    tls_ca: TlsCaOption = None,
    tls_certificate: TlsCertificateOption = None,
    tls_key: TlsKeyOption = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The open license master for multi-site PBX estates."""


def main() -> None:
    """Run the command line and end the process with the exit code."""
    output = OwnOutput()
    if not os.environ.get("COLUMNS", "").strip("0"):  # as from a terminal that does not know: no line would fit
        os.environ.pop("COLUMNS", None)
    codecs.register_error("in_its_characters", in_its_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="in_its_characters")  # a terminal without UTF-8 still shows everything
    try:
        code, failure = _run(asks_for_json="--json" in sys.argv[1:])
    except CommandFailed as failed:
        code, failure = 1, failed
    except FileError as error:
        code, failure = 1, CommandFailed(str(error), remedy=file_remedy(error))
    except UnicodeEncodeError as error:  # of the bytes of an argument, or of a variable
        near = error.object[max(error.start - 30, 0) : error.end + 30]
        remedy = "type it where the terminal is set to UTF-8, as `locale charmap` tells"
        code, failure = 1, CommandFailed(f"{near!a}: not UTF-8 text", remedy=remedy)
    except OSError as error:
        words = f"{f'{error.filename}: ' if error.filename else ''}{error.strerror or error}"
        ended = CommandFailed(words, remedy=file_remedy(error))
        code, failure = 1, ended if output.failure() is None else None
    if code == INTERRUPTED:
        failure = _interrupted()
    unwritten = output.failure()
    if unwritten is not None and failure is None:
        code, failure = 1, _not_written(unwritten)
    if failure is not None:
        _say(failure, as_json="--json" in sys.argv[1:])
    sys.exit(code)


def _not_written(unwritten: OSError) -> CommandFailed | None:
    """Return the failure for output that cannot be written: says whether a change was made. None if the reader closed
    the output and no change was asked for."""
    from master.cli.output.changes import LOOK, Changed, changed_so_far  # loads protobuf

    changed, why = changed_so_far(), unwritten.strerror or str(unwritten)
    if changed is Changed.MADE:
        return CommandFailed(f"it is done, and what there is to say of it cannot be written: {why}", remedy=LOOK)
    if changed is Changed.ASKED and isinstance(unwritten, BrokenPipeError):
        return None
    return CommandFailed(f"what was asked for cannot be written: {why}; nothing was changed")


def _interrupted() -> CommandFailed:
    """Return the failure for a command that was interrupted: says whether anything was changed."""
    from master.cli.output.changes import LOOK, Changed, changed_so_far  # loads protobuf

    match changed_so_far():
        case Changed.MADE:
            return CommandFailed("interrupted; what it had changed until then stays changed", remedy=LOOK)
        case Changed.UNKNOWN:
            return CommandFailed("interrupted while it waited: the change may have been made", remedy=LOOK)
        case _:
            return CommandFailed("interrupted; nothing was changed")


def _run(*, asks_for_json: bool) -> tuple[int, CommandFailed | None]:
    """Run the command; return the exit code, and the failure of the command line that is not yet printed, or None."""
    try:
        outcome = app(prog_name="license-master", standalone_mode=not asks_for_json)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None), None
    except typer.Abort:
        return 1, CommandFailed("aborted")
    except KeyboardInterrupt:  # outside the command itself, as while its module is loaded
        return INTERRUPTED, None
    except typer.TyperException as wrong:  # only where it is to be said as JSON
        return wrong.exit_code, CommandFailed(wrong.format_message(), remedy="--help shows what the command takes")
    return outcome if isinstance(outcome, int) else 0, None


def _say(failure: CommandFailed, *, as_json: bool) -> None:
    from master.cli.output.rendering import stderr_console  # slow to load, and most commands end well

    with suppress(OSError):  # nobody can read it
        if as_json:
            print(json.dumps({"error": failure.json_object()}), file=sys.stderr, flush=True)
        else:
            print_failure(failure, stderr_console())
