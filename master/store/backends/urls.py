"""Which database a URL names. Its text is in no message: it may hold a password.

SQLAlchemy is loaded for a server's only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from master.values import Value

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SQLITE = re.compile(r"sqlite(?:\+\w+)?://[^/?]*(?:/([^?]*))?(?:\?.*)?")
_SEVERAL = re.compile(r"^(postgres(?:ql)?(?:\+\w+)?://(?:[^@/?]*@)?)([^@/?]*,[^@/?]*)(?:/([^?]*))?(?:\?(.*))?$")
_PARAMETERS = {
    "host": "host",
    "port": "port",
    "passfile": "passfile",
    "ssl": "ssl",
    "sslmode": "ssl",
    "target_session_attrs": "target_session_attrs",
}
"""What may follow the `?` of a PostgreSQL URL, and what the driver calls it."""


class SqliteUrl(Value):
    """The URL of a file."""

    path: str

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"


def parse_url(url: str) -> SqliteUrl | URL:
    """Read a database URL.

    Raises:
        ValueError: it is none, or of a database that is not supported.
    """
    if named := _SQLITE.fullmatch(url):
        if named[1] in (None, "", ":memory:"):
            raise ValueError(
                "database_url: sqlite:// must name a file, as in sqlite:///FILE; leases have to survive a restart"
            )
        return SqliteUrl(named[1])
    return server_url(url)


def server_url(url: str) -> URL:
    """Read the URL of a server.

    Raises:
        ValueError: it is none, or of a database that is not supported.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(_SEVERAL.sub(_in_query, url))
    except (ArgumentError, ValueError) as error:
        raise ValueError(
            "database_url: it is no database URL (it is not shown: it may hold a password);"
            " write it like sqlite:///license-master.db or postgresql://USER@HOST/NAME"
        ) from error
    kind = parsed.get_backend_name()
    if kind in {"postgresql", "postgres"}:
        return _for_asyncpg(parsed)
    raise ValueError(f"database_url: it starts with {kind}://; it must start with sqlite:/// or postgresql://")


def _for_asyncpg(url: URL) -> URL:
    if unknown := sorted(url.query.keys() - _PARAMETERS):
        raise ValueError(
            f"database_url: unknown parameters {', '.join(unknown)}; known are {', '.join(_PARAMETERS)}."
            " Others are said in variables, as for psql: PGSSLROOTCERT and its like"
        )
    query = {_PARAMETERS[name]: value for name, value in url.query.items()}
    if len(url.normalized_query.get("host", ())) > 1:
        query.setdefault("target_session_attrs", "read-write")
    return url.set(drivername="postgresql+asyncpg", query=query)


def _in_query(match: re.Match[str]) -> str:
    """Several hosts, as libpq writes them, the way that SQLAlchemy reads them."""
    start, hosts, name, query = match.groups()
    named = [host if re.search(r":\d+$", host) else f"{host}:5432" for host in hosts.split(",")]
    return f"{start}/{name or ''}?{'&'.join(f'host={host}' for host in named)}{'&' + query if query else ''}"
