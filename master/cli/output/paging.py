"""Follows page tokens until there are rows enough."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")

PAGE_SIZE_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Rows(Generic[Row]):
    """What was read, and the token of the page after it; empty where that was all."""

    rows: list[Row]
    next_page_token: str


def read_pages(fetch: Callable[[int, str], tuple[Sequence[Row], str]], limit: int) -> Rows[Row]:
    """Rows up to `limit`, all where it is 0. `fetch` takes a page size and a token, and gives rows and the next one."""
    rows: list[Row] = []
    token = ""
    while True:
        wanted = min(limit - len(rows), PAGE_SIZE_MAX) if limit else PAGE_SIZE_MAX
        page, token = fetch(wanted, token)
        rows += page
        if not token or (limit and len(rows) >= limit):
            return Rows(rows, token)
