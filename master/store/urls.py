"""Which database a URL names."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_SEVERAL = re.compile(r"^(postgresql(?:\+\w+)?://(?:[^@/?]*@)?)([^@/?]*,[^@/?]*)(?:/([^?]*))?(?:\?(.*))?$")


def parse_url(url: str) -> URL:
    """Read a database URL.

    Raises:
        ValueError: it is none, or of a database that is not supported.
    """
    try:
        parsed = make_url(_SEVERAL.sub(_in_query, url))
    except (ArgumentError, ValueError) as error:
        raise ValueError(
            f"database_url {url!r} is no database URL; write it like sqlite:///license-master.db"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError(f"database_url {url!r} must name a file; leases have to survive a restart")
        return parsed.set(drivername="sqlite+pysqlite")
    if parsed.get_backend_name() == "postgresql":
        several = len(parsed.normalized_query.get("host", ())) > 1
        if several and "target_session_attrs" not in parsed.query:
            parsed = parsed.update_query_dict({"target_session_attrs": "read-write"})
        return parsed.set(drivername="postgresql+asyncpg")
    raise ValueError(f"database_url {url!r} must start with sqlite:/// or postgresql://")


def _in_query(found: re.Match[str]) -> str:
    """Several hosts, as libpq writes them, the way that SQLAlchemy reads them."""
    start, hosts, name, query = found.groups()
    named = [host if re.search(r":\d+$", host) else f"{host}:5432" for host in hosts.split(",")]
    return f"{start}/{name or ''}?{'&'.join(f'host={host}' for host in named)}{'&' + query if query else ''}"
