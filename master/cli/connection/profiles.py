"""Profiles: a master, a project and a certificate under one name, in a file of the person's own.

    default = "acme"

    [acme]
    server = "lm.acme.example:7600"
    project = "acme"
    tls_ca = "/home/anna/acme/ca.crt"
    tls_certificate = "/home/anna/acme/anna.crt"
    tls_key = "/home/anna/acme/anna.key"

The file names keys and certificates, and holds none of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import typer
from msgspec.structs import asdict

from licensemaster.files.texts import FileError, read_text, write_text
from licensemaster.values import BadValueError, bare, setting
from licensemaster.values.similar import closest
from master.cli.output.failure import CommandFailed
from master.cli.output.file_remedies import note_named
from master.cli.output.toml_text import toml_text
from master.values import Value
from master.variables import PROFILES

_DEFAULT = "default"
_NONE: Final[Mapping[str, str]] = {}
sources: ContextVar[Mapping[str, str]] = ContextVar("sources", default=_NONE)
"""Who named the value of an option of the connection that was not typed, by the option's parameter."""


def source_of(parameter: str) -> str:
    """Return what to correct where the value of an option of the connection is wrong: the option, else the variable, or
    the key, the profile and its file."""
    return sources.get().get(parameter) or f"--{parameter.replace('_', '-')}"


class Profile(Value):
    """The values that a command takes where the command line names none; empty where the profile says nothing."""

    server: str = ""
    project: str = ""
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""


class Profiles(Value):
    """All profiles of the file, and the default that counts where no profile is named."""

    by_name: Mapping[str, Profile]
    default: str = ""

    def named(self, name: str) -> Profile:
        """Return the profile of a name. Raises CommandFailed if no profile has that name."""
        if name not in self.by_name:
            raise CommandFailed(
                f"{profiles_file()} has no profile {name!r}{closest(name, self.by_name)}",
                remedy="`license-master profile list` shows what there is; `license-master profile set NAME` makes one",
            )
        return self.by_name[name]


def can_be_named(name: str) -> bool:
    """Tell whether a profile can have a name: --profile can say the name, and it is no key of the file itself."""
    return bool(name) and name == bare(name) and name != _DEFAULT


def profiles_file() -> Path:
    """Return the file of profiles: $LICENSE_MASTER_PROFILES, or `profiles.toml` in the person's own folder of settings.
    Raises CommandFailed if the variable names no file."""
    try:
        named = setting(os.environ.get(PROFILES, ""))
    except BadValueError as error:
        raise CommandFailed(f"{PROFILES}: {error}") from error
    if named:
        note_named(named, PROFILES)
    return Path(named or Path(typer.get_app_dir("license-master"), "profiles.toml"))


def read_profiles() -> Profiles:
    """Read the profiles from their file; none if the file does not exist.
    Raises CommandFailed if the file is wrong, and names the line and the key."""
    file = profiles_file()
    if not file.exists():
        return Profiles({})
    from master.domain.catalog.toml_reader import TomlReader

    reader = TomlReader(read_text(file), file=str(file), failure=CommandFailed)
    tables = {name: reader.table(reader.document, (name,)) for name in reader.document if name != _DEFAULT}
    profiles = Profiles(
        {name: reader.record(Profile, table, (name,)) for name, table in tables.items()},
        default=reader.string(reader.document, (_DEFAULT,), ""),
    )
    if profiles.default:
        profiles.named(profiles.default)
    return profiles


def write_profiles(profiles: Profiles) -> None:
    """Replace the file of profiles by these profiles, whole or not at all.
    Raises UnicodeEncodeError if a name was typed in bytes that are no UTF-8, so the file could not be read back;
    CommandFailed if the file cannot be written."""
    file = profiles_file()
    lines = [f"{_DEFAULT} = {toml_text(profiles.default)}\n"] if profiles.default else []
    for name, profile in sorted(profiles.by_name.items()):
        said = [f"{key} = {toml_text(value)}\n" for key, value in asdict(profile).items() if value]
        lines += [f"\n[{toml_text(name)}]\n", *said]
    text = "".join(lines).lstrip("\n")
    text.encode()
    remedy = f"set {PROFILES} to a file that this account can write"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(file, text)
    except OSError as error:
        raise CommandFailed(f"cannot make {file.parent}: {error.strerror}", remedy=remedy) from error
    except FileError as error:
        raise CommandFailed(str(error), remedy=remedy) from error
