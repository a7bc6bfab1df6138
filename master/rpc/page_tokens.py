"""Page tokens, which callers hand back: where the page before ended."""

from __future__ import annotations

from master.rpc.errors import InvalidArgumentError

_INT8_MAX = 2**63 - 1


def place_of(token: str) -> int | None:
    """Return the number in a token; None for the first page.
    Raises InvalidArgumentError if no answer has such a token."""
    if not token:
        return None
    if len(token) > 19 or not (token.isascii() and token.isdecimal()) or int(token) > _INT8_MAX:
        raise bad_token()
    return int(token)


def bad_token() -> InvalidArgumentError:
    """Return the error of a token that no answer has."""
    return InvalidArgumentError("page_token", "must be the next_page_token of the answer before")
