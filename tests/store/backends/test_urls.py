"""Which database a URL names."""

from __future__ import annotations

import pytest

from master.store.backends.urls import parse_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lm:p%40ss@db1.example:5432,db2.example/lm?sslmode=require",
        "postgresql://lm:p%40ss@/lm?host=db1.example:5432&host=db2.example:5432&sslmode=require",
    ],
    ids=["as-libpq", "as-sqlalchemy"],
)
def test_several_servers_of_which_one_takes_writes(url: str) -> None:
    parsed = parse_url(url)
    assert parsed.query["host"] == ("db1.example:5432", "db2.example:5432")
    assert (parsed.query["target_session_attrs"], parsed.query["ssl"]) == ("read-write", "require")
    assert (parsed.username, parsed.password, parsed.database) == ("lm", "p@ss", "lm")


def test_who_asks_for_other_servers_gets_them() -> None:
    parsed = parse_url("postgresql://a:1,b:2/lm?target_session_attrs=any")
    assert parsed.query["target_session_attrs"] == "any"


@pytest.mark.parametrize("url", ["postgresql://lm@db.example:5432/lm", "postgresql://lm@/lm?host=/run/postgresql"])
def test_one_server_is_taken_as_it_is(url: str) -> None:
    assert "target_session_attrs" not in parse_url(url).query


def test_a_port_that_is_none() -> None:
    with pytest.raises(ValueError, match="is no database URL"):
        parse_url("postgresql://lm@db.example:x/lm")
