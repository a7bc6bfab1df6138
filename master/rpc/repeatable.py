"""Calls with a request id: the key that recognises a retry, and the response that a retry gets again, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from msgspec import Struct

from master.rpc.convert import incoming
from master.service.runtime.request_answers import AnsweredBefore, RequestKey

Answer = TypeVar("Answer")
Response = TypeVar("Response", bound=Message)


class Repeatable(Struct, Generic[Answer, Response]):
    """A request, and how its result becomes its response: only once, so that the same response is sent and kept."""

    request: Any
    """A message with the field `request_id`."""
    kind: type[Response]
    convert: Callable[[Answer], Response]
    _kept: tuple[Answer, Response] | None = None

    def key(self) -> RequestKey[Answer]:
        """Return the key by which a retry of the request is recognised.
        Raises InvalidArgumentError if the request's id is missing, or no text."""
        return request_key(self.request, self._encoded)

    def response(self, answer: Answer | AnsweredBefore) -> Response:
        """Return the response to the request's result, which is the earlier one where the request is a retry."""
        if isinstance(answer, AnsweredBefore):
            return self.kind.FromString(answer.answer)
        return self._kept[1] if self._kept is not None and self._kept[0] is answer else self.convert(answer)

    def _encoded(self, answer: Answer) -> bytes:
        response = self.convert(answer)
        self._kept = answer, response
        return response.SerializeToString()


def request_key(request: Any, encode: Callable[[Answer], bytes], *, by: str = "") -> RequestKey[Answer]:
    """Return the key by which a retry of a request is recognised; a dry run needs no id. `by` names the caller where
    nobody else may get the answer.
    Raises InvalidArgumentError if the request's id is missing, or no text."""
    read = incoming.optional_text if getattr(request, "dry_run", False) else incoming.text
    asked = by.encode() + request.SerializeToString(deterministic=True)
    return RequestKey(
        kind=request.DESCRIPTOR.name.removesuffix("Request"),
        request_id=read("request_id", request.request_id),
        fingerprint=sha256(asked).hexdigest(),
        encode=encode,
    )
