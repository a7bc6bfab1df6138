"""Settings as they are mistyped: named with what was meant, and never with a secret; what is made is its owner's."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from licensemaster.daemon.settings import described
from master.cli.connection.own_settings import settings_from
from master.cli.main import app
from master.cli.output.failure import CommandFailed
from master.cli.server.serve import without_password
from master.settings import Settings
from tests.cli.command import run
from tests.support.masters import Clock, in_process_master, sqlite_url

SECRET = "sesame"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LICENSE_MASTER_TLS_REVOCATION_FILE", "LICENSE_MASTER_TLS_REVOCATIONS_FILE"),
        ("LICENSE_MASTER_LISTENS", "LICENSE_MASTER_LISTEN"),
        ("license_master_grace", "LICENSE_MASTER_GRACE_SECONDS"),
    ],
)
def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(CommandFailed) as failed:
        settings_from(None)
    [line] = failed.value.lines
    assert (name in line, meant in line, SECRET in line) == (True, True, False)


def test_what_commands_take_is_no_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "PROJECT", "PKI", "PKI_TOKEN", "DEVICE_TOKEN", "TTL_SECONDS"):
        monkeypatch.setenv(f"LICENSE_MASTER_{name}", "60")
    assert settings_from(None).ttl_seconds == 60


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            f'database_urll = "postgresql://u:{SECRET}@h/d"',
            "settings.toml:1: database_urll: no such setting; did you mean 'database_url'?",
        ),
        (
            f'database_url = ["postgresql://u:{SECRET}@h/d"]',
            "settings.toml:1: database_url: Input should be a valid",
        ),
        (f'database_url = "postgresql://u:{SECRET}@h/d', "cannot be read as TOML"),
        ("\n# low\nttl_seconds = 1", "settings.toml:3: ttl_seconds: 1: Input should be greater"),
    ],
)
async def test_what_is_wrong_in_a_file_is_said_without_secrets(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    done = await run("serve", "--plaintext", "--settings", str(file))
    assert (done.code, says in done.err) == (1, True), done.err
    assert SECRET not in done.err
    assert "Traceback" not in done.err


def test_a_file_is_not_blamed_for_what_a_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("ttl_seconds = 60\ngrace_seconds = -1\n")
    monkeypatch.setenv("LICENSE_MASTER_TTL_SECONDS", "1")
    with pytest.raises(CommandFailed) as failed:
        settings_from(file, listen="nowhere")
    assert [line.partition(": ")[0] for line in failed.value.lines] == ["listen", "ttl_seconds", f"{file}:2"]


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["serve", "--settings", str(tmp_path)]).exit_code == 2


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"mysql://u:{SECRET}@h/d", "must start with sqlite:/// or postgresql://"),
        (f"//u:{SECRET}@h", "is no database URL"),
        (f"postgresql://u:{SECRET}@h/d?connect_timeout=3", "unknown parameters connect_timeout"),
    ],
)
async def test_a_password_is_in_no_message(url: str, says: str) -> None:
    done = await run("db", "upgrade", LICENSE_MASTER_DATABASE_URL=url)
    assert (done.code, says in done.err, SECRET in done.err) == (1, True, False), done.err


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@h1:5432,h2:5432/d?sslmode=require",
        f"postgres://u:{SECRET}@[::1]:5432/d",
        f"postgresql://:{SECRET}@h/d",
        f"postgresql://u@h/d?sslmode=require&password={SECRET}",
        f"//u:{SECRET}@h",
        f"host=h user=u PASSWORD = {SECRET}",
    ],
)
@pytest.mark.parametrize(
    "command", [("serve",), ("settings", "show"), ("db", "check"), ("db", "upgrade")], ids=" ".join
)
def test_a_password_is_not_given_where_the_list_of_processes_shows_it(command: tuple[str, ...], url: str) -> None:
    result = CliRunner().invoke(app, [*command, "--database-url", url])
    assert (result.exit_code, SECRET in result.output) == (2, False), result.output
    assert "LICENSE_MASTER_DATABASE_URL" in result.output
    assert "--settings FILE" in " ".join(result.output.split())


@pytest.mark.parametrize(
    "url", ["sqlite:///a:b@c/d.db", "postgresql://u@h:5432/d", "postgresql://h:5432,h2:5432/d?sslmode=require"]
)
def test_a_url_without_a_password_is_taken(url: str) -> None:
    assert without_password(url) == url


async def test_a_database_is_its_owners_alone(tmp_path: Path) -> None:
    for command in (["db", "upgrade", "--create"], ["db", "check"]):
        await run(*command, "--database-url", sqlite_url(tmp_path))
        assert {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)} == {0o600}


async def test_a_database_that_others_can_read_is_told(sqlite_database_url: str) -> None:
    file = Path(sqlite_database_url.removeprefix("sqlite:///"))
    for mode, lines in ((0o600, 0), (0o640, 1)):
        os.chmod(file, mode)
        with capture_logs() as logs:
            async with in_process_master(sqlite_database_url, Clock()):
                pass
        assert len([line for line in logs if line.get("remedy") == f"chmod 600 {file}*"]) == lines


def test_settings_are_shown_with_who_says_so_and_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "master.toml"
    file.write_text("grace_seconds = 60\nttl_seconds = 30\n")
    monkeypatch.setenv("LICENSE_MASTER_DATABASE_URL", f"postgresql://lm:{SECRET}@db/lm")
    monkeypatch.setenv("LICENSE_MASTER_TTL_SECONDS", "90")
    done = CliRunner().invoke(app, ["settings", "show", "--settings", str(file), "--json"])
    shown = {row["name"]: (row["value"], row["from"]) for row in json.loads(done.output)["settings"]}
    assert shown["ttl_seconds"] == ("90", "LICENSE_MASTER_TTL_SECONDS")
    assert shown["grace_seconds"] == ("60", str(file))
    assert shown["listen"] == ("127.0.0.1:7600", "default")
    assert SECRET not in done.output
    assert shown["database_url"][1] == "LICENSE_MASTER_DATABASE_URL"


def test_every_setting_says_what_it_means() -> None:
    assert [setting.name for setting in described(Settings) if not setting.meaning] == []


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {}\t", "\ufeff{}", "\u200b{}\u00a0", '"{}"', "'{}' "])
def test_what_a_secret_or_a_paste_brings_along_is_no_part_of_a_setting(
    monkeypatch: pytest.MonkeyPatch, around: str, tmp_path: Path
) -> None:
    given = {"database_url": "sqlite:////data/l m.db", "listen": "127.0.0.1:7600", "tls_key_file": "/run/a  b.key",
             "ttl_seconds": "60", "plaintext": "true"}  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"LICENSE_MASTER_{name.upper()}", around.format(value))
    settings = settings_from(None)
    assert (settings.database_url, settings.listen, str(settings.tls_key_file)) == tuple(given.values())[:3]
    assert (settings.ttl_seconds, settings.plaintext) == (60, True)
    for name in given:
        monkeypatch.delenv(f"LICENSE_MASTER_{name.upper()}")
    file = tmp_path / "settings.toml"
    lines = [f"{name} = {json.dumps(around.format(given[name]))}\n" for name in list(given)[:3]]
    file.write_bytes("".join(lines).replace("\n", "\r\n").encode("utf-16"))
    from_file = settings_from(file)
    assert (from_file.database_url, from_file.listen, str(from_file.tls_key_file)) == tuple(given.values())[:3]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("listen", "127.0.0.1", "listen: '127.0.0.1': no port in '127.0.0.1'"),
        ("listen", ":7600", "no host in ':7600'"),
        ("listen", "127.0.0.1:99999", "port 99999 is above 65535"),
        ("metrics_listen", "::1:7601", "IPv6 address without brackets"),
        ("database_url", " \n", "database_url: must not be empty"),
        ("tls_key_file", "/run/a\nb", "has the control character U+000A within"),
        ("ttl_seconds", "\uff112", ""),
    ],
)
def test_what_is_wrong_with_a_setting_is_said_in_its_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"LICENSE_MASTER_{name.upper()}", value)
    if not says:
        assert settings_from(None).ttl_seconds == 12
        return
    with pytest.raises(CommandFailed) as failed:
        settings_from(None)
    assert says in failed.value.lines[0]


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICENSE_MASTER_TLS_REVOCATIONS_FILE", "\n")
    monkeypatch.setenv("LICENSE_MASTER_METRICS_LISTEN", "")
    settings = settings_from(None)
    assert (settings.tls_revocations_file, settings.metrics_listen) == (None, "")
