"""`license-master pki`: a small certificate authority in a folder, for those who have none.

By hand or by cron, where the folder is; masters and devices need nothing of it but certificates. A device makes its key
itself (`request`), so that no private key travels; a one-time token lets its request be signed without a second look.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from master.cli.failure import CommandFailed
from master.cli.options import JsonOption
from master.cli.output import add_row, print_json_object, stderr_console, stdout_console, table, visible
from master.variables import PKI, PKI_TOKEN

if TYPE_CHECKING:
    from master.auth.authority import Authority, Issued
    from master.auth.identity import Identity

app = typer.Typer(help="Certificates: a small authority, for those who have none.", no_args_is_help=True)


class Kind(StrEnum):
    """Whose certificate."""

    SERVER = "server"
    PBX = "pbx"
    OPERATOR = "operator"
    VIEWER = "viewer"
    VENDOR = "vendor"
    METRICS = "metrics"


FolderOption = Annotated[Path, typer.Option("--folder", envvar=PKI, metavar="DIR", help="The authority's folder.")]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write the files.")]
DaysOption = Annotated[float, typer.Option("--days", min=0.01, max=3650, help="How long it is good for.")]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="projects/P/pbxs/X for a PBX; else a person's or a system's name.")
]
ConfinedOption = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="Confine it to this project.", show_default=False)
]
_FOLDER = Path("pki")
_HERE = Path()


@app.command()
def init(
    folder: FolderOption = _FOLDER,
    name: Annotated[str, typer.Option("--name", help="What the authority is called.")] = "license-master authority",
    days: Annotated[int, typer.Option("--days", min=1, max=36_500, help="How long the authority lasts.")] = 3650,
) -> None:
    """Make an authority. Keep its folder away from the masters, readable by its owner only, and in a backup."""
    with _refusals():
        from master.auth.authority import Authority

        Authority.create(folder, name=name, days=days, now=time.time())
    _tell(f"{folder} is an authority: ca.crt is for everybody, ca.key for nobody, revoked.crl for the masters")


@app.command()
def issue(
    kind: Annotated[Kind, typer.Argument(help="Whose certificate.")],
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="projects/P/pbxs/X for a PBX; host names and addresses for a server; else one name.",
        ),
    ],
    project: ConfinedOption = None,
    days: DaysOption = 365,
    out: OutOption = _HERE,
    folder: FolderOption = _FOLDER,
) -> None:
    """Make a key and a certificate: NAME.crt and NAME.key, and ca.crt beside them."""
    from master.auth.authority import key_pem, new_key, pem, write

    with _refusals():
        authority, key, now = _authority(folder), new_key(), time.time()
        if kind is Kind.SERVER:
            stem = "server"
        else:
            subject = _identity(kind, names, project)
            stem = subject.name
        paths = out / f"{stem}.crt", out / f"{stem}.key"
        if taken := [str(path) for path in paths if path.exists()]:
            raise CommandFailed(f"{', '.join(taken)}: is there already", remedy="name another folder with --out")
        if kind is Kind.SERVER:
            issued = authority.issue_server(names, key.public_key(), days=days, now=now)
        else:
            issued = authority.issue(subject, key.public_key(), days=days, now=now)
        out.mkdir(parents=True, exist_ok=True)
        write(paths[1], key_pem(key), mode=0o600)
        write(paths[0], pem(issued.certificate))
        _hand_out_ca(authority, out)
    _tell(f"{paths[0]} and {paths[1]} are for {issued.name}, until {_day(issued.ends_at)}")


@app.command()
def request(kind: Annotated[Kind, typer.Argument()], name: NameArgument, out: OutOption = _HERE) -> None:
    """On a device: make its key, which stays, and NAME.csr, which goes to the authority."""
    from master.auth.authority import key_pem, new_key, pem, signing_request, write

    with _refusals():
        subject, key = _identity(kind, [name], None), new_key()
        path = out / f"{subject.name}.key"
        if path.exists():
            raise CommandFailed(f"{path}: is there already", remedy="name another folder with --out")
        out.mkdir(parents=True, exist_ok=True)
        write(path, key_pem(key), mode=0o600)
        write(out / f"{subject.name}.csr", pem(signing_request(subject, key)))
    _tell(f"send {out / f'{subject.name}.csr'} to the authority; {path} stays here")


@app.command()
def token(
    kind: Annotated[Kind, typer.Argument()],
    name: NameArgument,
    project: ConfinedOption = None,
    hours: Annotated[float, typer.Option("--hours", min=0.01, max=720, help="How long it can be used.")] = 24,
    folder: FolderOption = _FOLDER,
) -> None:
    """Make a one-time token: the request that comes with it gets this name's certificate. It is shown this once."""
    with _refusals():
        made = _authority(folder).open_token(_identity(kind, [name], project), seconds=hours * 3600, now=time.time())
    typer.echo(made)


@app.command()
def enrol(
    csr: Annotated[Path, typer.Option("--csr", metavar="FILE", help="What the device sent.", exists=True)],
    token: Annotated[str, typer.Option("--token", envvar=PKI_TOKEN, help="Its one-time token.")],
    days: DaysOption = 365,
    out: OutOption = _HERE,
    folder: FolderOption = _FOLDER,
) -> None:
    """Sign a device's request against its token: NAME.crt, for whom the token was made, and ca.crt go back to it."""
    from cryptography import x509

    from master.auth.authority import pem, write

    with _refusals():
        try:
            sent = x509.load_pem_x509_csr(csr.read_bytes())
        except ValueError as error:
            raise CommandFailed(f"{csr}: is no certificate request in PEM", remedy="`pki request` makes one") from error
        authority = _authority(folder)
        issued = authority.enrol(sent, token, days=days, now=time.time())
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{issued.subject.name}.crt"
        write(path, pem(issued.certificate))
        _hand_out_ca(authority, out)
    _tell(f"{path} is for {issued.name}, until {_day(issued.ends_at)}")


@app.command()
def renew(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.crt...", help="Certificates, renewed in place.")],
    left: Annotated[
        float, typer.Option("--left", min=0, max=1, help="Only where at most this share of its time is left.")
    ] = 1 / 3,
    folder: FolderOption = _FOLDER,
) -> None:
    """Renew certificates whose end is near, for the same keys and in the same files; fit for cron.

    Masters take renewed files up by themselves, clients when they next connect.
    """
    from cryptography import x509

    from master.auth.authority import pem, write

    with _refusals():
        authority, now = _authority(folder), time.time()
        known = {one.certificate.serial_number: one for one in authority.issued()}
        for path in files:
            try:
                serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            except ValueError as error:
                raise CommandFailed(f"{path}: is no certificate in PEM") from error
            issued = known.get(serial)
            if issued is None:
                raise CommandFailed(f"{path}: was not issued here", remedy="name its authority with --folder")
            if issued.ends_at - now > left * (issued.ends_at - issued.begins_at):
                _tell(f"{path}: good until {_day(issued.ends_at)}, not renewed")
                continue
            renewed = authority.renew(issued, now=now)
            write(path, pem(renewed.certificate))
            _tell(f"{path}: renewed until {_day(renewed.ends_at)}")


@app.command()
def revoke(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME_OR_SERIAL...", help="As `pki show` prints them; a name means all of its own."),
    ],
    folder: FolderOption = _FOLDER,
) -> None:
    """Trust certificates no more: copy revoked.crl to the masters. It works at once, on open connections too."""
    with _refusals():
        authority = _authority(folder)
        issued = authority.issued()
        chosen = [one for one in issued if {one.name, one.serial} & set(names)]
        if unknown := set(names) - {one.name for one in chosen} - {one.serial for one in chosen}:
            raise CommandFailed(f"{', '.join(sorted(unknown))}: not issued here; nothing was revoked", remedy=_SHOW)
        authority.revoke(chosen, now=time.time())
    for one in chosen:
        _tell(f"{one.serial} of {one.name} is revoked")
    _tell(f"copy {folder / 'revoked.crl'} to every master's tls_revocations_file")


@app.command()
def show(as_json: JsonOption = False, folder: FolderOption = _FOLDER) -> None:
    """List certificates, the one that ends soonest first."""
    with _refusals():
        authority = _authority(folder)
        issued, now = authority.issued(), time.time()
    if as_json:
        rows = [
            {"name": one.name, "serial": one.serial, "end_time": _day(one.ends_at), "state": _state(one, now)}
            for one in issued
        ]
        print_json_object({"certificates": rows})
        return
    shown = table("name", "ends", "state", "serial")
    for one in issued:
        add_row(shown, one.name, _day(one.ends_at), _state(one, now), one.serial)
    stdout_console().print(shown)


_SHOW = "`license-master pki show` lists what was issued"


def _authority(folder: Path) -> Authority:
    from master.auth.authority import Authority

    return Authority.open(folder)


def _identity(kind: Kind, names: list[str], project: str | None) -> Identity:
    """Whom a certificate is to be for.

    Raises:
        CommandFailed: nobody.
    """
    from master.auth.identity import SCHEME, IdentityError, Role, identity_of

    if kind is Kind.SERVER:
        raise CommandFailed("masters are not enrolled; their names are", remedy="license-master pki issue server HOST")
    if len(names) != 1:
        raise CommandFailed(f"{len(names)} names: one certificate is for one {kind.value}")
    role = Role.METRICS if kind is Kind.METRICS else Role(f"{kind.value}s")
    within = f"projects/{project}/" if project else ""
    path = names[0] if kind is Kind.PBX else f"{within}{role.value}/{names[0]}"
    try:
        found = identity_of(f"{SCHEME}{path}")
    except IdentityError as error:
        raise CommandFailed(str(error)) from error
    if found.role is not role:
        raise CommandFailed(f"{names[0]!r} is not a {kind.value}", remedy="write projects/PROJECT/pbxs/PBX")
    return found


def _hand_out_ca(authority: Authority, out: Path) -> None:
    from master.auth.authority import pem, write

    if out.resolve() != authority.folder.resolve():
        write(out / "ca.crt", pem(authority.certificate))


def _state(one: Issued, now: float) -> str:
    if one.revoked:
        return "revoked"
    return "ended" if one.ends_at <= now else "good"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _tell(text: str) -> None:
    stderr_console().print(visible(text), soft_wrap=True)


@contextmanager
def _refusals() -> Iterator[None]:
    from master.auth.authority import AuthorityError

    try:
        yield
    except AuthorityError as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(f"{error.filename}: {error.strerror}") from error
