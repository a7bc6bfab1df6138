"""`license-master pki`: a small certificate authority in a folder, for those who have none.

By hand or by cron, where the folder is; masters and devices need nothing of it but certificates. A device makes its key
itself (`request`), so that no private key travels; a one-time token lets its request be signed without a second look.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensemaster.files.texts import read_text
from licensemaster.values import plain
from licensemaster.values.moments import minute_text
from master.cli.connection.options import JsonOption
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import add_row, json_time, print_json_object, stdout_console, table
from master.cli.pki import pki_files
from master.cli.pki.pki_options import (
    FOLDER,
    ConfinedOption,
    FolderOption,
    Kind,
    identity_from,
    open_authority,
    refusals,
    tell,
)

if TYPE_CHECKING:
    from master.auth.authority.issued import Issued

app = typer.Typer(help="Certificates: a small authority, for those who have none.", no_args_is_help=True)


@app.command()
def init(
    folder: FolderOption = FOLDER,
    name: Annotated[str, typer.Option("--name", help="What the authority is called.")] = "license-master authority",
    days: Annotated[int, typer.Option("--days", min=1, max=36_500, help="How long the authority lasts.")] = 3650,
) -> None:
    """Make an authority. Keep its folder away from the masters, readable by its owner only, and in a backup."""
    with refusals():
        from master.auth.authority.authority import Authority

        Authority.create(folder, name=name, days=days, now=time.time())
    tell(f"{folder} is an authority: ca.crt is for everybody, ca.key for nobody, revoked.crl for the masters")


app.command()(pki_files.issue)
app.command()(pki_files.request)


@app.command()
def token(
    kind: Annotated[Kind, typer.Argument()],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="projects/P/pbxs/X for a PBX; else a person's or a system's name."),
    ] = None,
    names_file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="Instead of NAME: a name on each line.", exists=True, dir_okay=False
        ),
    ] = None,
    project: ConfinedOption = None,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=720, help="How long it can be used.")] = 24,
    folder: FolderOption = FOLDER,
) -> None:
    """Make a one-time token: the request that comes with it gets this name's certificate. It is shown this once.

    For the names of a file, a line for each: NAME, a tab, TOKEN.
    """
    if (name is None) == (names_file is None):
        raise CommandFailed("name one certificate's holder, or a file of them with --file")
    with refusals():
        names = [name] if name is not None else _lines(names_file)
        subjects = [identity_from(kind, [holder], project) for holder in names]  # all are right, or no token is made
        authority = open_authority(folder)
        made = [authority.open_token(identity, seconds=hours * 3600, now=time.time()) for identity in subjects]
    for subject, made_token in zip(subjects, made, strict=True):
        typer.echo(made_token if name is not None else f"{subject.resource}\t{made_token}")


app.command()(pki_files.enrol)
app.command()(pki_files.renew)


@app.command()
def revoke(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME_OR_SERIAL...",
            help="As `pki show` prints them, or a part of a name that is nobody else's; a name means all of its own.",
        ),
    ],
    folder: FolderOption = FOLDER,
) -> None:
    """Trust certificates no more, nor others with the same keys: copy revoked.crl to the masters.

    It works at once, on open connections too.
    """
    with refusals():
        authority = open_authority(folder)
        issued = authority.issued()
        chosen = {certificate.serial: certificate for name in names for certificate in _meant(name, issued)}
        revoked = authority.revoke(chosen.values(), now=time.time())
    for certificate in revoked:
        same_key = "" if certificate.serial in chosen else ", as it has the same key"
        tell(f"{certificate.serial} of {certificate.name} is revoked{same_key}")
    tell(f"copy {folder / 'revoked.crl'} to every master's tls_revocations_file")


@app.command()
def show(as_json: JsonOption = False, folder: FolderOption = FOLDER) -> None:
    """List certificates, the one that ends soonest first, and when the authority itself ends."""
    with refusals():
        authority = open_authority(folder)
        issued, now = authority.issued(), time.time()
    if as_json:
        rows = [
            {
                "name": certificate.name,
                "serial": certificate.serial,
                "end_time": json_time(certificate.ends_at),
                "state": _state(certificate, now),
            }
            for certificate in issued
        ]
        print_json_object({"authority": {"end_time": json_time(authority.ends_at)}, "certificates": rows})
        return
    shown = table("name", "ends", "state", "serial")
    for certificate in issued:
        add_row(shown, certificate.name, minute_text(certificate.ends_at), _state(certificate, now), certificate.serial)
    stdout_console().print(shown)
    tell(f"the authority itself ends {minute_text(authority.ends_at)}")


def _meant(name: str, issued: list[Issued]) -> list[Issued]:
    """Return the certificates that a name or a serial number means.
    Raises CommandFailed if no certificate is meant, or those of several names."""
    exact = [certificate for certificate in issued if name in (certificate.name, certificate.serial)]
    certificates = exact or [
        certificate for certificate in issued if name == certificate.subject.name or name in certificate.server_names
    ]
    if not certificates:
        remedy = "`license-master pki show` lists what was issued"
        raise CommandFailed(f"{name}: not issued here; nothing was revoked", remedy=remedy)
    if len(whose := sorted({certificate.name for certificate in certificates})) > 1:
        raise CommandFailed(f"{name}: may be {' or '.join(whose)}; nothing was revoked", remedy="name one in full")
    return certificates


def _lines(file: Path | None) -> list[str]:
    assert file is not None
    return [name for line in read_text(file).splitlines() if (name := plain(line))]


def _state(issued: Issued, now: float) -> str:
    if issued.revoked:
        return "revoked"
    return "ended" if issued.ends_at <= now else "good"
