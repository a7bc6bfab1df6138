"""What helps where a file or folder could not be read or written: told by why, and by who named it."""

from __future__ import annotations

import errno
import os
from typing import Final

_REMEDIES: Final = {
    errno.EISDIR: "it is a folder: name a file",
    errno.EEXIST: "choose another name",
    errno.EACCES: "name a place that this account may use, or run it from an account that may",
    errno.EPERM: "name a place that this account may use, or run it from an account that may",
    errno.EROFS: "name a place on a file system that may be written to",
    errno.ENOSPC: "make room there, or name a place on another disk",
    errno.EDQUOT: "make room there, or name a place on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "it is a link to itself: name the file or folder itself",
}
_named_by: Final[dict[str, str]] = {}


def note_named(path: str | os.PathLike[str], by: str) -> None:
    """Note the option or variable that named a path on this command line."""
    _named_by[os.path.abspath(path)] = by


def file_remedy(failure: BaseException) -> str:
    """Return what helps against the failed use of a file that caused a failure; empty where none did."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, OSError) and isinstance(cause.filename, str | os.PathLike):
            return _remedy(cause.errno or 0, os.path.abspath(os.fspath(cause.filename)))
        if getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL":
            return _REMEDIES[errno.ENOSPC]
        cause = cause.__cause__
    return ""


def _remedy(why: int, path: str) -> str:
    remedy = _REMEDIES.get(why, "")
    if why in (errno.ENOENT, errno.ENOTDIR):
        there = os.path.dirname(path)
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there):
            remedy = f"{there} is no folder: name another place"
        elif there != os.path.dirname(path):
            remedy = f"there is no folder {os.path.dirname(path)}: make it, or name another"
        else:
            remedy = f"look with `ls {there}` how it is called"
    near = [named for named in _named_by if os.path.commonpath([path, named]) in (path, named)]
    if not remedy or not near:
        return remedy
    named = path if path in near else max(near, key=len)
    return f"{remedy} ({_named_by[named]} names it)"
