"""How many files this process may have open: every connection takes one."""

from __future__ import annotations

import resource

import structlog

_log = structlog.get_logger(__name__)
_BESIDES = 200
"""Open files for all but callers' connections: databases, the log, scrapes, webhooks, calls of commands."""


def allow_open_files(setting: str, connections: int) -> None:
    """Raise the soft limit to the hard one, and log where that is too low for as many connections as a setting says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = soft
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # a hard limit that the system does not allow as a soft one
            _log.warning("the limit of open files stays as it is", files=soft, hard=hard, reason=str(error))
        else:
            allowed = hard
            _log.info("the limit of open files was raised", files=hard, before=soft)
    if allowed != resource.RLIM_INFINITY and allowed < connections + _BESIDES:
        _log.warning(
            f"{setting} cannot be reached: too few open files are allowed",
            files=allowed,
            remedy=f"allow {connections + _BESIDES} (LimitNOFILE=, ulimit -Hn), or lower {setting}",
            **{setting: connections},
        )


def connections_allowed() -> int | None:
    """Return how many connections leave enough files for all else, so that callers cannot take the database's; None
    where nothing limits open files."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if allowed == resource.RLIM_INFINITY else max(allowed - _BESIDES, allowed // 2)
