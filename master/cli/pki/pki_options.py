"""What `license-master pki` commands have in common: options, whose certificate is meant, and how they refuse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licensemaster.values.moments import minute_text
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import stderr_console, visible
from master.variables import PKI

if TYPE_CHECKING:
    from master.auth.authority.authority import Authority
    from master.auth.callers.identity import Identity


class Kind(StrEnum):
    """Kinds of certificate holders."""

    SERVER = "server"
    PBX = "pbx"
    OPERATOR = "operator"
    VIEWER = "viewer"
    VENDOR = "vendor"
    METRICS = "metrics"


FolderOption = Annotated[Path, typer.Option("--folder", envvar=PKI, metavar="DIR", help="The authority's folder.")]
DaysOption = Annotated[float, typer.Option("--days", min=0.01, max=3650, help="How long it is good for.")]
ConfinedOption = Annotated[str | None, typer.Option("--project", metavar="NAME", help="Confine it to this project.")]
FOLDER = Path("pki")
_NEAR_SECONDS = 365 * 86_400
"""Seconds before an authority ends in which a new one is asked for: certificates of a year are not possible then."""


def open_authority(folder: Path) -> Authority:
    """Open the authority of a folder; warn of a key that others can read, of foreign certificates, of a near end."""
    from master.auth.authority.authority import Authority

    authority = Authority.open(folder)
    if authority.key_is_read_by_others:
        tell(f"warning: {folder / 'ca.key'} can be read by others; whoever did can issue certificates: chmod 600")
    for path in authority.unreadable():
        tell(f"warning: {path} is no certificate of this authority, it does not count")
    if authority.ends_at - time.time() < _NEAR_SECONDS:
        tell(
            f"warning: the authority itself ends {minute_text(authority.ends_at)}; docs/operations.md: A new authority"
        )
    return authority


def identity_from(kind: Kind, names: list[str], project: str | None) -> Identity:
    """Return the identity that a certificate is to be for.
    Raises CommandFailed or IdentityError if kind, names and project make no identity."""
    from master.auth.callers.identity import SCHEME, Role, identity_of

    if kind is Kind.SERVER:
        raise CommandFailed("masters are not enrolled; their names are", remedy="license-master pki issue server HOST")
    if len(names) != 1:
        raise CommandFailed(f"{len(names)} names: one certificate is for one {kind.value}")
    if kind is Kind.PBX and project:
        raise CommandFailed("--project: a PBX's name says its project", remedy="write projects/PROJECT/pbxs/PBX")
    role = Role.METRICS if kind is Kind.METRICS else Role(f"{kind.value}s")
    within = f"projects/{project}/" if project else ""
    path = names[0] if kind is Kind.PBX else f"{within}{role.value}/{names[0]}"
    identity = identity_of(f"{SCHEME}{path}")
    if identity.role is not role:
        raise CommandFailed(f"{names[0]!r} is not a {kind.value}", remedy="write projects/PROJECT/pbxs/PBX")
    return identity


def tell(text: str) -> None:
    """Print a text on standard error."""
    stderr_console().print(visible(text), soft_wrap=True)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the authority and the file system refuse into a failure of the command."""
    from master.auth.authority.issued import AuthorityError
    from master.auth.callers.identity import IdentityError

    try:
        yield
    except (AuthorityError, IdentityError) as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(f"{error.filename}: {error.strerror}") from error
