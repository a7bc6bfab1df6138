"""Which database a URL names."""

from __future__ import annotations

import pytest

from master.store.backends.urls import SqliteUrl, parse_url, server_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lm:p%40ss@db1.example:5432,db2.example/lm?sslmode=require",
        "postgresql://lm:p%40ss@/lm?host=db1.example:5432&host=db2.example:5432&sslmode=require",
    ],
    ids=["as-libpq", "as-sqlalchemy"],
)
def test_several_servers_of_which_one_takes_writes(url: str) -> None:
    parsed = server_url(url)
    assert parsed.query["host"] == ("db1.example:5432", "db2.example:5432")
    assert (parsed.query["target_session_attrs"], parsed.query["ssl"]) == ("read-write", "require")
    assert (parsed.username, parsed.password, parsed.database) == ("lm", "p@ss", "lm")


@pytest.mark.parametrize(
    ("variable", "ports"), [("5433", ("5433", "7", "5433")), ("5433,5434,5435", ("5433", "7", "5435"))]
)
def test_servers_without_a_port_have_that_of_the_environment(
    variable: str, ports: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", variable)
    assert server_url("postgresql://lm@a,b:7,c/lm").query["host"] == tuple(
        f"{host}:{port}" for host, port in zip("abc", ports, strict=True)
    )
    monkeypatch.setenv("PGPORT", "5433,5434")
    with pytest.raises(ValueError, match="PGPORT: 2 ports, and not as many servers"):
        server_url("postgresql://lm@a,b:7,c/lm")
    server_url("postgresql://lm@a:5,b:7,c:9/lm")  # which needs none


def test_who_asks_for_other_servers_gets_them() -> None:
    parsed = server_url("postgresql://a:1,b:2/lm?target_session_attrs=any")
    assert parsed.query["target_session_attrs"] == "any"


@pytest.mark.parametrize("url", ["postgresql://lm@db.example:5432/lm", "postgresql://lm@/lm?host=/run/postgresql"])
def test_one_server_is_taken_as_it_is(url: str) -> None:
    assert "target_session_attrs" not in server_url(url).query


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://lm@db.example:x/lm", "is no database URL"),
        ("postgresql://lm@/lm?host=db.example&port=x", "is no database URL"),
        ("postgresql://lm@/lm?host=db1.example&host=db2.example", "is no database URL"),
        ("postgresql://lm@db..example/lm", "is no database URL"),
        ("postgresql://lm@db.example:99999/lm", "there is no port 99999; ports are 1 to 65535"),
        ("postgresql://lm@db.example:0/lm", "there is no port 0"),
        ("postgresql://lm@db1.example,db2.example:65536/lm", "there is no port 65536"),
        ("postgresql://lm:secret@more@db.example/lm", "an @ .* is written %40"),
        ("postgresql://lm@db.example/lm?sslmode=on", "ssl is 'on'; it may be disable, .*, verify-full"),
        ("postgresql://lm@db.example/lm?target_session_attrs=standby", "may be any, primary, read-write"),
    ],
)
def test_what_no_server_can_be_reached_by(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"database_url: .*{words}") as failed:
        server_url(url)
    assert "more" not in str(failed.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PGPORT", "99999", "PGPORT: there is no port 99999; ports are 1 to 65535"),
        ("PGPORT", "0", "PGPORT: there is no port 0;"),
        ("PGPORT", "abc", "PGPORT: there is no port abc;"),
        ("PGPORT", "5432,70000", "PGPORT: there is no port 70000;"),
        ("PGPORT", "5432,5433", "PGPORT: 2 ports, and not as many servers; name one, or one for each server"),
        ("PGSSLMODE", "on", "PGSSLMODE is 'on'; it may be disable, .*, verify-full"),
        ("PGTARGETSESSIONATTRS", "standby", "PGTARGETSESSIONATTRS is 'standby'; it may be any, primary, read-write"),
    ],
)
def test_a_variable_that_says_it_in_the_place_of_the_url(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    for url in ("postgresql://lm@db.example/lm", "postgresql:///lm"):
        with pytest.raises(ValueError, match=f"^{words}"):
            server_url(url)
    server_url("postgresql://lm@db.example:1/lm?sslmode=require&target_session_attrs=any")  # which the driver goes by


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///lm.db", "lm.db"),
        ("sqlite:////var/lib/lm.db", "/var/lib/lm.db"),
        ("sqlite+pysqlite:///a b/lm%20.db", "a b/lm%20.db"),
    ],
)
def test_a_file_is_named_as_it_is(url: str, path: str) -> None:
    assert parse_url(url) == SqliteUrl(path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://?x=1"])
def test_a_database_that_would_not_survive_a_restart(url: str) -> None:
    with pytest.raises(ValueError, match="must name a file"):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///lm.db?mode=ro", r"takes no parameters, .* remove '\?mode=ro'"),
        ("sqlite:////srv/a?b/lm.db", r"none of its folders a \?; remove '\?b/lm.db'"),
        ("sqlite://var/lib/lm.db", "write sqlite:///var/lib/lm.db for .*, sqlite:////var/lib/lm.db for one below /"),
    ],
)
def test_no_part_of_a_files_url_is_left_out(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^database_url: .*{words}"):
        parse_url(url)
