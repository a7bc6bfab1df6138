"""Whether a caller may make a call, whichever way it came: whoever serves calls asks here, as gRPC's interceptor does.

Knows no transport. Who the caller is, is proven by whoever asks; the table of `permissions.py` says who may call what.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from master.auth.callers.identity import Identity
from master.auth.callers.permissions import AccessDeniedError, Denial, denial, forbidden, stood_in_for

_MESSAGES = {
    Denial.ROLE_FORBIDDEN: "{caller} may not call {method}",
    Denial.NOT_YOUR_PBX: "{caller} acts for itself only; the request must name it and no other",
    Denial.NOT_YOUR_PROJECT: "{caller} is confined to its project; the request must name that one",
}


class Authorization:
    def __init__(self, stands_in: Callable[[str, str], Awaitable[bool]]) -> None:
        """`stands_in` tells whether one PBX, by its resource name, is the standby of another."""
        self._stands_in = stands_in

    @staticmethod
    def check_role(identity: Identity, method: str) -> None:
        """Check that a caller's role may call a method, before its message is read.
        Raises AccessDeniedError if no caller of that role may call the method."""
        if forbidden(identity, method):
            raise _denied(Denial.ROLE_FORBIDDEN, identity, method)

    async def authorize(self, identity: Identity, method: str, request: object) -> None:
        """Check everything: the caller's role, its project, and whom the request names.

        `method` is "package.Service/Method"; `request` has the fields of that method's message.
        Raises AccessDeniedError if the caller may not make the call.
        """
        denied = denial(identity, method, request)
        if denied is None:
            return
        if denied is Denial.NOT_YOUR_PBX:
            other = stood_in_for(identity, method, request)
            if other is not None and await self._stands_in(identity.resource, other):
                return
        raise _denied(denied, identity, method)


def _denied(denial: Denial, identity: Identity, method: str) -> AccessDeniedError:
    return AccessDeniedError(denial, _MESSAGES[denial].format(caller=identity.uri, method=method.rpartition("/")[2]))
