"""Which master a command asks, about which project and as whom: options before and behind the command, profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from licensemaster.v1 import status_pb2
from master.cli.main import app
from master.cli.output.failure import CommandFailed
from tests.cli.command import run_blocking as run
from tests.cli.connection.test_failures import serving

Cli = Callable[..., Result]
ANSWER = status_pb2.ListSeatsResponse().SerializeToString()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("LICENSE_MASTER_PROFILES", str(tmp_path / "mine" / "profiles.toml"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("SERVER", "PROJECT", "PROFILE", "TLS_CA_FILE", "TLS_CERTIFICATE_FILE", "TLS_KEY_FILE"):
        monkeypatch.delenv(f"LICENSE_MASTER_{name}", raising=False)
    return lambda *words, **variables: CliRunner(env=variables).invoke(app, list(words))


@pytest.fixture
def asked() -> Iterator[str]:
    with serving(lambda request, context: ANSWER) as address:
        yield address


def refusal(done: Result) -> str:
    return str(done.exception)


NOBODY = "127.0.0.1:9"


def test_options_stand_before_the_command_or_behind_it(cli: Cli, asked: str) -> None:
    assert cli("--server", asked, "--project", "acme", "seats").exit_code == 0
    assert cli("seats", "--server", asked, "--project", "acme").exit_code == 0
    assert cli("--server", NOBODY, "--project", "acme", "seats", "--server", asked).exit_code == 0
    assert cli("--server", asked, "--project", "acme", "seats", LICENSE_MASTER_SERVER=NOBODY).exit_code == 0
    for words in (["--tls-ca", "ca", "seats"], ["seats", "--tls-ca", "ca"]):
        assert refusal(cli(*words)) == "--tls-key, --tls-certificate: not given"
    assert refusal(cli("--tls-ca", "ca", "seats", "--tls-key", "key")) == "--tls-certificate: not given"


def test_a_profile_names_what_the_command_line_does_not(cli: Cli, asked: str) -> None:
    assert cli("profile", "set", "acme", "--server", asked, "--project", "acme").exit_code == 0
    assert cli("profile", "set", "away", "--server", NOBODY).exit_code == 0
    assert cli("seats").exit_code == 0  # the first one is the default
    assert cli("--profile", "acme", "seats").exit_code == 0
    assert cli("seats", LICENSE_MASTER_PROFILE="acme").exit_code == 0
    assert NOBODY in refusal(cli("seats", "--profile", "away"))
    assert NOBODY in refusal(cli("seats", LICENSE_MASTER_SERVER=NOBODY))  # more than the default
    assert cli("seats", "--profile", "acme", LICENSE_MASTER_SERVER=NOBODY).exit_code == 0  # less than one that is named
    assert cli("profile", "use", "away").exit_code == 0
    assert NOBODY in refusal(cli("seats"))
    assert cli("seats", "--server", asked, "--project", "acme").exit_code == 0
    assert "*   away" in cli("profile", "list").output


@pytest.mark.parametrize("name", ["b\u00fcro", "\U0001f4de desk", 'a"c]\\', "x\x7fy"])
def test_a_profile_of_any_name_is_found_again(cli: Cli, asked: str, name: str) -> None:
    assert cli("profile", "set", name, "--server", asked, "--project", "acme").exit_code == 0
    assert cli("profile", "set", "other").exit_code == 0
    assert cli("seats", "--profile", name).exit_code == 0


@pytest.mark.parametrize("command", ["status", "leases", "leases end berlin", "pki init", "db check", "example"])
def test_a_variable_that_nobody_reads_is_refused_as_it_would_not_count(cli: Cli, command: str) -> None:
    words = ["project", "example", "demo"] if command == "example" else command.split()
    failed = cli(*words, LICENSE_MASTER_SEVER="lm.example:7600").exception
    assert isinstance(failed, CommandFailed)
    assert failed.lines == ("LICENSE_MASTER_SEVER: no such setting; did you mean 'LICENSE_MASTER_SERVER'?",)
    assert cli(*words, "--help", LICENSE_MASTER_SEVER="lm.example:7600").exit_code == 0


def test_a_variable_that_masters_read_is_none_of_those(cli: Cli) -> None:
    assert cli("project", "example", "demo", LICENSE_MASTER_LISTEN="127.0.0.1:7600").exit_code == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "it is empty"), ("  ", "it is empty"), ("default", "no profile can have the name")],
)
def test_a_name_that_no_profile_can_have_is_refused(cli: Cli, tmp_path: Path, name: str, why: str) -> None:
    done = cli("profile", "set", name, "--server", NOBODY)
    assert done.exit_code != 0
    assert why in f"{done.exception} {done.stderr}"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("option", ["--server", "--project", "--tls-ca"])
def test_an_option_that_breaks_a_line_is_refused_by_name(cli: Cli, option: str) -> None:
    done = cli("seats", option, "a\nb")
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output
    assert "U+000A" in done.output
    assert "LICENSE_MASTER_PROFILES: has the control character" in refusal(cli("seats", LICENSE_MASTER_PROFILES="a\nb"))


@pytest.mark.parametrize(
    "words", ["profile set m\udcfcller", "explain m\udcfcller port 4711", "seats --project m\udcfc"]
)
def test_bytes_of_an_older_terminal_are_told_as_such(asked: str, tmp_path: Path, words: str) -> None:
    profiles = tmp_path / "profiles.toml"
    done = run("--server", asked, "--project", "acme", *words.split(), LICENSE_MASTER_PROFILES=str(profiles))
    assert done.code == 1
    assert "\\udcfc" in done.err
    assert "not UTF-8 text" in done.err
    assert "Traceback" not in done.err
    assert not profiles.exists()


def test_a_profile_keeps_what_was_typed_and_where_files_are(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli("profile", "set", "one", "--server", "one:1", "--project", "acme")
    cli("--tls-ca", "ca.crt", "profile", "set", "two")
    kept = (tmp_path / "mine" / "profiles.toml").read_text()
    assert kept == (
        f'default = "one"\n\n["one"]\nserver = "one:1"\nproject = "acme"\n\n["two"]\ntls_ca = "{tmp_path}/ca.crt"\n'
    )
    cli("profile", "remove", "one")
    assert 'default = ""' not in (tmp_path / "mine" / "profiles.toml").read_text()
    assert "profile 'one'" in refusal(cli("seats", "--profile", "one"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server = 'x:1'", "profiles.toml:1: server: 'x:1' must be a table"),
        ("[a]\nsever = 'x:1'", "profiles.toml:2: a.sever: unknown key; did you mean 'server'?"),
        ("[a]\nserver = 7600", "profiles.toml:2: a.server: 7600 must be a text"),
        ("default = 'b'\n[a]\n", "has no profile 'b'"),
        ("[a", "profiles.toml:1: not TOML"),
    ],
)
def test_a_wrong_file_is_named_and_stops_no_master(cli: Cli, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "profiles.toml").write_text(text)
    assert said in refusal(cli("seats"))
    assert str(tmp_path / "mine" / "profiles.toml") in refusal(cli("seats"))
    assert cli("catalog", "show", "allworx").exit_code == 0


def test_every_command_that_asks_a_master_takes_the_whole_way_and_no_other_does() -> None:
    def leaves(command: object, path: str = "") -> Iterator[tuple[str, set[str]]]:
        for name, below in getattr(command, "commands", {}).items():
            yield from leaves(below, f"{path} {name}")
        yield path, {option for param in getattr(command, "params", ()) for option in param.opts}

    way = {"--server", "--profile", "--tls-ca", "--tls-certificate", "--tls-key"}
    for path, options in leaves(typer.main.get_command(app)):
        assert options & way in (way, set()), path


@pytest.mark.parametrize("where", ["/dev/null/profiles.toml", "/proc/profiles.toml"])
def test_where_no_profile_can_be_kept_another_file_is_proposed(where: str) -> None:
    done = run("profile", "set", "bank", "--server", "lm:1", LICENSE_MASTER_PROFILES=where)
    assert done.code == 1
    assert done.err.startswith("error: cannot ")
    assert "try: set LICENSE_MASTER_PROFILES to a file that this account can write" in done.err


def test_a_profile_whose_files_are_not_there_is_kept_and_says_so(tmp_path: Path) -> None:
    kept = str(tmp_path / "profiles.toml")
    done = run("profile", "set", "bank", "--tls-ca", str(tmp_path / "ca.crt"), LICENSE_MASTER_PROFILES=kept)
    assert done.code == 0
    assert f"warning: there is no {tmp_path}/ca.crt yet" in done.err.replace("\n", "")


def test_a_persons_own_profiles_are_not_those_of_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "license-master").mkdir()
    (tmp_path / "license-master" / "profiles.toml").write_text("[[")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    done = run("profile", "list")
    assert done.code == 0, done.err


def test_what_is_wrong_is_named_by_the_profile_that_named_it(cli: Cli, tmp_path: Path) -> None:
    profiles = tmp_path / "mine" / "profiles.toml"
    profiles.parent.mkdir()
    files = "".join(f'tls_{kind} = "{tmp_path}/none.{kind}"\n' for kind in ("ca", "certificate", "key"))
    profiles.write_text(f'[a]\n{files}[b]\nserver = "x"\n[c]\nserver = "{NOBODY}"\n[d]\ntls_ca = "ca.crt"\n')
    absent = refusal(cli("seats", "--profile", "a"))
    assert absent.startswith(
        f"tls_certificate of profile 'a' in {profiles}: {tmp_path}/none.certificate: cannot be read"
    )
    assert refusal(cli("seats", "--profile", "b")).startswith(f"server of profile 'b' in {profiles}: no port in 'x'")
    for words, variables, lines in (
        (["--profile", "c"], {}, [f"server: named by profile 'c' in {profiles}"]),
        ([], {"LICENSE_MASTER_SERVER": NOBODY}, ["server: named by LICENSE_MASTER_SERVER"]),
        (["--profile", "d"], {}, [f"tls_ca of profile 'd' in {profiles}: ca.crt"]),
        ([], {"LICENSE_MASTER_TLS_KEY_FILE": "key"}, ["LICENSE_MASTER_TLS_KEY_FILE: key"]),
    ):
        failure = cli("seats", *words, **variables).exception
        assert isinstance(failure, CommandFailed)
        assert list(failure.lines[: len(lines)]) == lines
    typed = cli("seats", "--profile", "c", "--server", NOBODY).exception
    assert isinstance(typed, CommandFailed)
    assert not any("named by" in line for line in typed.lines)


@pytest.mark.parametrize("option", ["--server", "--project", "--profile"])
def test_an_option_that_is_empty_is_not_another_master_or_project(cli: Cli, asked: str, option: str) -> None:
    for words in (["seats", option, ""], [option, " ", "seats"]):
        done = cli(*words, LICENSE_MASTER_SERVER=asked, LICENSE_MASTER_PROJECT="acme")
        assert (done.exit_code, "it is empty" in done.stderr) == (2, True), done.stderr
    assert cli("seats", "--server", asked, "--project", "acme", LICENSE_MASTER_TLS_CA_FILE="").exit_code == 0
