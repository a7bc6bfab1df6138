"""Database URLs. Messages never show a URL: it may hold a password.

SQLAlchemy is loaded for a server's URL only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from master.values import Value

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SQLITE = re.compile(r"sqlite(?:\+\w+)?://([^/?]*)(?:/([^?]*))?(\?.*)?")
_SEVERAL = re.compile(r"^(postgres(?:ql)?(?:\+\w+)?://(?:[^@/?]*@)?)([^@/?]*,[^@/?]*)(?:/([^?]*))?(?:\?(.*))?$")
_PARAMETERS = {
    "host": "host",
    "port": "port",
    "passfile": "passfile",
    "ssl": "ssl",
    "sslmode": "ssl",
    "target_session_attrs": "target_session_attrs",
}
"""The parameters allowed in a PostgreSQL URL, and the driver's names for them."""
_CHOICES = {
    "ssl": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "read-write"),
}
"""The values allowed for parameters that have a few; a master writes, so no standby is among them."""
_VARIABLES = {"ssl": "PGSSLMODE", "target_session_attrs": "PGTARGETSESSIONATTRS"}
"""The variables that the driver reads for parameters that the URL leaves out."""
_PORT = re.compile(r"\s*[0-9]{1,5}\s*", re.ASCII)
_PORT_MAX = 65535
_PORT_BEHIND = re.compile(r":\d+$")


class SqliteUrl(Value):
    path: str

    def __str__(self) -> str:
        return f"sqlite:///{self.path}"


def parse_url(url: str) -> SqliteUrl | URL:
    """Read a database URL. Raises ValueError if the text is no URL, or of a database that is not supported."""
    if named := _SQLITE.fullmatch(url):
        host, path, parameters = named.groups()
        if path in (None, "", ":memory:"):
            raise ValueError(
                "database_url: sqlite:// must name a file, as in sqlite:///FILE; leases have to survive a restart"
            )
        if host:
            raise ValueError(
                f"database_url: sqlite:// is followed by {host!r}; write sqlite:///{host}/{path} for a file below this"
                f" folder, sqlite:////{host}/{path} for one below /"
            )
        if parameters:
            raise ValueError(
                f"database_url: a file's URL takes no parameters, and none of its folders a ?; remove {parameters!r}"
            )
        return SqliteUrl(path)
    return server_url(url)


def server_url(url: str) -> URL:
    """Read the URL of a server.
    Raises ValueError if it is no URL, its database is not supported, or a variable for what it omits is wrong."""
    from sqlalchemy.engine import make_url

    plain = _SEVERAL.sub(_in_query, url)
    with _none_if_unreadable():
        parsed = make_url(plain)
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
    for name, choices in _CHOICES.items():
        where, value = f"database_url: {name}", query.get(name)
        if value is None:
            where, value = _VARIABLES[name], os.environ.get(_VARIABLES[name], choices[0])
        if value not in choices:
            raise ValueError(f"{where} is {value!r}; it may be {', '.join(choices)}")
    taken = url.set(drivername="postgresql+asyncpg", query=query)
    with _none_if_unreadable():
        servers = servers_of(taken)
    for server in servers:
        _check_port(server.get("port", url.port), server.get("host") or os.environ.get("PGHOST", ""))
        _check_host(server.get("host", ""))
    return taken


def servers_of(url: URL) -> list[dict[str, Any]]:
    """Return the driver's arguments for each server that a URL of `server_url` names."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    plain = {key: value for key, value in arguments.items() if key not in ("host", "port")}
    host, port = arguments.get("host"), arguments.get("port")
    if isinstance(host, list) and isinstance(port, list):
        return [{**plain, "host": server, "port": at} for server, at in zip(host, port, strict=True)]
    return [{**plain, **({"host": host} if host else {}), **({"port": port} if port else {})}]


def _check_port(port: int | None, hosts: str) -> None:
    if port is None:
        _ports_of_environment(hosts.count(",") + 1)
    else:
        _check_number("database_url", str(port))


def _ports_of_environment(servers: int) -> list[str]:
    """Return the port of each of so many servers whose URL names none; raises ValueError where PGPORT has other than
    one for all or one for each."""
    ports = (os.environ.get("PGPORT") or "5432").split(",")
    for number in ports:
        _check_number("PGPORT", number)
    if len(ports) not in (1, servers):
        raise ValueError(f"PGPORT: {len(ports)} ports, and not as many servers; name one, or one for each server")
    return ports if len(ports) == servers else ports * servers


def _check_number(where: str, number: str) -> None:
    """Refuse a port that is none: the system would go to another, 65536 below one that is too large."""
    if not _PORT.fullmatch(number) or not 1 <= int(number) <= _PORT_MAX:
        raise ValueError(f"{where}: there is no port {number}; ports are 1 to {_PORT_MAX}")


def _check_host(host: str) -> None:
    if host.startswith("/"):  # the folder of a socket
        return
    if "@" in host:
        raise ValueError("database_url: an @ stands in the host; in a user or a password it is written %40")
    with _none_if_unreadable():
        host.encode("idna")


@contextmanager
def _none_if_unreadable() -> Iterator[None]:
    from sqlalchemy.exc import ArgumentError

    try:
        yield
    except (ArgumentError, ValueError) as error:
        raise ValueError(
            "database_url: it is no database URL (it is not shown: it may hold a password);"
            " write it like sqlite:///license-master.db or postgresql://USER@HOST/NAME"
        ) from error


def _in_query(match: re.Match[str]) -> str:
    """Rewrite several hosts, as libpq writes them, into the query that SQLAlchemy reads."""
    start, hosts, name, query = match.groups()
    servers = hosts.split(",")
    if not all(_PORT_BEHIND.search(server) for server in servers):
        ports = _ports_of_environment(len(servers))
        servers = [
            server if _PORT_BEHIND.search(server) else f"{server}:{port.strip()}"
            for server, port in zip(servers, ports, strict=True)
        ]
    return f"{start}/{name or ''}?{'&'.join(f'host={host}' for host in servers)}{'&' + query if query else ''}"
