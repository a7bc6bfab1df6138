"""`license-master pki`: the commands that write keys and certificates. They overwrite nothing but what they renew."""

from __future__ import annotations

import time
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensemaster.files.texts import FileError, read_bytes
from licensemaster.files.writer import Readers, write_file
from licensemaster.values.moments import minute_text
from master.cli.output.failure import CommandFailed
from master.cli.pki.pki_options import (
    FOLDER,
    ConfinedOption,
    DaysOption,
    FolderOption,
    Kind,
    identity_from,
    open_authority,
    refusals,
    tell,
)
from master.variables import PKI_TOKEN

if TYPE_CHECKING:
    from master.auth.authority.authority import Authority
    from master.auth.authority.issued import Issued

OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write the files.")]
_HERE = Path()
_REQUEST_BYTES_MAX = 16_384
_REVOKE_IT = "revoke it, and look at the authority's own certificate with `openssl x509 -text`"


def issue(
    kind: Annotated[Kind, typer.Argument(help="Whose certificate.")],
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="projects/P/pbxs/X for a PBX; host names and addresses for a server; else one name."
        ),
    ],
    project: ConfinedOption = None,
    days: DaysOption = 365,
    out: OutOption = _HERE,
    folder: FolderOption = FOLDER,
) -> None:
    """Make a key and a certificate: NAME.crt and NAME.key, and ca.crt beside them."""
    from master.auth.authority.keys import key_pem, new_key, pem

    with refusals():
        authority, key, now = open_authority(folder), new_key(), time.time()
        if kind is Kind.SERVER:
            if project:
                raise CommandFailed("--project: a master serves every project; leave it out")
            issued_to, stem = None, "server"
        else:
            issued_to = identity_from(kind, names, project)
            stem = issued_to.name
        certificate_file, key_file = _free(out, stem, ("crt", "key"), authority)
        write_file(key_file, key_pem(key))  # first: no certificate is good whose key could not be kept
        try:
            if issued_to is None:
                issued = authority.issue_server(names, key.public_key(), days=days, now=now)
            else:
                issued = authority.issue(issued_to, key.public_key(), days=days, now=now)
            _prove(issued, key_pem(key), authority)
        except BaseException:
            key_file.unlink()
            raise
        write_file(certificate_file, pem(issued.certificate), readers=Readers.ALL)
        _hand_out_ca(authority, out)
    tell(f"{certificate_file} and {key_file} are for {issued.name}, until {minute_text(issued.ends_at)}")


def request(
    kind: Annotated[Kind, typer.Argument()],
    name: Annotated[str, typer.Argument(metavar="NAME", help="As for `pki token`.")],
    project: ConfinedOption = None,
    out: OutOption = _HERE,
) -> None:
    """On a device: make its key, which stays, and NAME.csr, which goes to the authority."""
    from master.auth.authority.keys import key_pem, new_key, pem, signing_request

    with refusals():
        subject, key = identity_from(kind, [name], project), new_key()
        request_file, key_file = _free(out, subject.name, ("csr", "key"), None)
        write_file(key_file, key_pem(key))
        write_file(request_file, pem(signing_request(subject, key)), readers=Readers.ALL)
    tell(f"send {request_file} to the authority; {key_file} stays here")


def enrol(
    csr: Annotated[Path, typer.Option("--csr", metavar="FILE", help="What the device sent.", exists=True)],
    token: Annotated[
        str, typer.Option("--token", envvar=PKI_TOKEN, help="Its one-time token; in the variable it shows in no `ps`.")
    ],
    days: DaysOption = 365,
    out: OutOption = _HERE,
    folder: FolderOption = FOLDER,
) -> None:
    """Sign a device's request against its token: NAME.crt, for whom the token was made, and ca.crt go back to it."""
    from cryptography import x509

    from master.auth.authority.keys import pem

    with refusals():
        try:
            sent = x509.load_pem_x509_csr(read_bytes(csr, most=_REQUEST_BYTES_MAX))
        except ValueError as error:
            raise CommandFailed(f"{csr}: is no certificate request in PEM", remedy="`pki request` makes one") from error
        authority, now = open_authority(folder), time.time()
        [path] = _free(out, authority.holder(token, now=now).name, ("crt",), authority)
        issued = authority.enrol(sent, token, days=days, now=now)
        write_file(path, pem(issued.certificate), readers=Readers.ALL)
        _hand_out_ca(authority, out)
    tell(f"{path} is for {issued.name}, until {minute_text(issued.ends_at)}")


def renew(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.crt...", help="Certificates, renewed in place.")],
    left: Annotated[
        float, typer.Option("--left", min=0, max=1, help="Only where at most this share of its time is left.")
    ] = 1 / 3,
    folder: FolderOption = FOLDER,
) -> None:
    """Renew certificates whose end is near, for the same keys and in the same files; fit for cron.

    One that cannot be renewed keeps none of the others from it. Masters take renewed files up by themselves, clients
    when they next connect.
    """
    with refusals():
        authority, now = open_authority(folder), time.time()
        known = {issued.certificate.serial_number: issued for issued in authority.issued()}
    failed: list[str] = []
    for path in files:
        try:
            with refusals():
                tell(f"{path}: {_renewed(path, authority, known, left=left, now=now)}")
        except CommandFailed as failure:
            failed.append(failure.in_file(str(path)).message)
        except FileError as error:
            failed.append(str(error))
    if failed:
        raise CommandFailed(f"{len(failed)} of {len(files)} could not be renewed", lines=failed)


def _renewed(path: Path, authority: Authority, known: dict[int, Issued], *, left: float, now: float) -> str:
    """Renew a certificate if at most the share `left` of its time is left; return what was done, in words."""
    from cryptography import x509

    from master.auth.authority.keys import pem

    try:
        serial = x509.load_pem_x509_certificate(read_bytes(path)).serial_number
    except ValueError as error:
        raise CommandFailed("is no certificate in PEM") from error
    issued = known.get(serial)
    if issued is None:
        raise CommandFailed("was not issued here; name its authority with --folder")
    if issued.ends_at - now > left * (issued.ends_at - issued.begins_at):
        return f"good until {minute_text(issued.ends_at)}, not renewed"
    renewed = authority.renew(issued, now=now)
    write_file(path, pem(renewed.certificate), readers=Readers.ALL)
    return f"renewed until {minute_text(renewed.ends_at)}"


def _free(out: Path, stem: str, endings: tuple[str, ...], authority: Authority | None) -> list[Path]:
    """Return paths in a folder for new files, and make the folder.
    Raises CommandFailed if a file exists, the name is `ca`, or the folder is the authority's own or has another's
    ca.crt."""
    other = "name another folder with --out"
    if authority is not None and Path(realpath(out)).is_relative_to(realpath(authority.folder)):
        raise CommandFailed(f"{out}: is the authority's own folder; nothing else is kept there", remedy=other)
    if stem == "ca":
        raise CommandFailed("'ca' is what the authority's own files are called; choose another name")
    paths = [out / f"{stem}.{ending}" for ending in endings]
    if taken := [str(path) for path in paths if path.exists()]:
        raise CommandFailed(f"{', '.join(taken)}: is there already", remedy=other)
    ca = out / "ca.crt"
    if authority is not None and ca.exists() and not _holds(ca, authority):
        raise CommandFailed(f"{ca}: is that of another authority", remedy=other)
    out.mkdir(parents=True, exist_ok=True)
    return paths


def _prove(issued: Issued, key: bytes, authority: Authority) -> None:
    """Prove by a handshake that TLS takes a certificate before it is handed out; raises CommandFailed."""
    from licensemaster.tls import handshake
    from licensemaster.tls.pem import Pair
    from master.auth.authority.keys import pem
    from master.auth.callers.identity import MASTER

    shown, believed = issued.certificate, authority.certificate
    pair = Pair(pem(shown), key, pem(believed), [shown], [believed])
    if problem := handshake.server_problem(pair) if issued.subject is MASTER else handshake.caller_problem(pair):
        raise CommandFailed(f"{issued.serial} of {issued.name} {problem}; nothing was written", remedy=_REVOKE_IT)


def _hand_out_ca(authority: Authority, out: Path) -> None:
    """Write the authority's certificate as ca.crt into a folder that has no ca.crt yet."""
    from master.auth.authority.keys import pem

    if not (out / "ca.crt").exists():
        write_file(out / "ca.crt", pem(authority.certificate), readers=Readers.ALL)


def _holds(ca: Path, authority: Authority) -> bool:
    from cryptography import x509

    try:
        return authority.certificate in x509.load_pem_x509_certificates(read_bytes(ca))
    except ValueError:
        return False
