"""Listings: their pages joined into one answer."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from google.protobuf.message import Message

PAGE_SIZE_MAX = 1_000


class PagedRequest(Protocol):
    """The fields that every request for a listing has."""

    page_size: int
    page_token: str


Request = TypeVar("Request", bound=PagedRequest)
Response = TypeVar("Response", bound=Message)


def join_pages(ask: Callable[[Request], Response], request: Request, limit: int) -> Response:
    """The answer to a listing as if it had one page: rows up to `limit`, all where it is 0.

    Its page token is that of the row after it, empty where that was all. The request is filled in for each page.
    """
    answer: Any = None
    count = 0
    while True:
        request.page_size = min(limit - count, PAGE_SIZE_MAX) if limit else PAGE_SIZE_MAX
        page: Any = ask(request)
        if answer is None:
            answer = page
        else:
            rows_of(answer).extend(rows_of(page))
            answer.next_page_token = page.next_page_token
        count, request.page_token = len(rows_of(answer)), answer.next_page_token
        if not request.page_token or (limit and count >= limit):
            return cast(Response, answer)


def rows_of(answer: Message) -> Any:
    """The rows of a listing: its first field that repeats."""
    field = next(field for field in answer.DESCRIPTOR.fields if field.is_repeated)
    return getattr(answer, field.name)
