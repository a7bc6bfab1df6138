"""`license-master profile`: names for masters that are asked again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict

from master.cli.connection.options import DEFAULT_SERVER, JsonOption, ProjectOption, ServerOption, typed_options
from master.cli.connection.profiles import Profile, Profiles, can_be_named, profiles_file, read_profiles, write_profiles
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import add_row, print_json_object, stderr_console, stdout_console, table, visible

app = typer.Typer(help="Names for a master, a project and a certificate, for --profile.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The profile's name.")]


@app.command("set")
def set_profile(
    context: typer.Context, name: NameArgument, project: ProjectOption = None, server: ServerOption = DEFAULT_SERVER
) -> None:
    """Keep --server, --project and --tls-* as typed here under NAME. The first profile is the default."""
    if not can_be_named(name):
        raise CommandFailed(f"no profile can have the name {name!r}", remedy="choose another one")
    profiles = read_profiles()
    typed = {key: value for key, value in typed_options(context).items() if key != "profile"}
    made = Profile(**{key: str(value.absolute()) if isinstance(value, Path) else value for key, value in typed.items()})
    write_profiles(Profiles({**profiles.by_name, name: made}, profiles.default or name))
    for path in (value for value in typed.values() if isinstance(value, Path) and not value.exists()):
        stderr_console().print(visible(f"warning: there is no {path.absolute()} yet; the profile works once there is"))
    stdout_console().print(visible(f"{name}: {made.server or DEFAULT_SERVER}, kept in {profiles_file()}"))


@app.command("use")
def use_profile(name: NameArgument) -> None:
    """Make NAME the default: what counts where no --profile is named."""
    profiles = read_profiles()
    profiles.named(name)
    write_profiles(Profiles(profiles.by_name, name))
    stdout_console().print(visible(f"{name} is the default"))


@app.command("remove")
def remove_profile(name: NameArgument) -> None:
    """Forget NAME."""
    profiles = read_profiles()
    profiles.named(name)
    left = {key: profile for key, profile in profiles.by_name.items() if key != name}
    write_profiles(Profiles(left, "" if profiles.default == name else profiles.default))


@app.command("list")
def list_profiles(as_json: JsonOption = False) -> None:
    """Show all profiles; the default is marked."""
    profiles = read_profiles()
    if as_json:
        named = {name: asdict(profile) for name, profile in profiles.by_name.items()}
        print_json_object({"default": profiles.default, "profiles": named})
    elif profiles.by_name:
        shown = table("", "Profile", "Master", "Project", "Certificate")
        for name, profile in profiles.by_name.items():
            mark = "*" if name == profiles.default else ""
            add_row(shown, mark, name, profile.server or DEFAULT_SERVER, profile.project, profile.tls_certificate)
        stdout_console().print(shown)
    else:
        stderr_console().print("no profile yet; `license-master profile set NAME --server HOST:PORT` makes one")
