"""What a caller may do is said without gRPC, by the same table and in the same words, to whoever serves calls."""

from __future__ import annotations

import pytest

from licensemaster.v1 import lease_pb2
from master.auth.callers.authorization import Authorization
from master.auth.callers.identity import Identity, Role, identity_of
from master.auth.callers.permissions import TABLE, AccessDeniedError, Denial
from tests.auth.callers.test_permissions import BERLIN, METHODS, caller, request_of

SPARE = identity_of("license-master://projects/acme/pbxs/spare")
RENEW = "licensemaster.v1.LeaseService/RenewLease"
OPEN = "licensemaster.v1.LeaseService/OpenLease"


async def _spare_is_the_standby_of_berlin(standby: str, primary: str) -> bool:
    return (standby, primary) == (SPARE.resource, BERLIN.resource)


@pytest.fixture
def authorization() -> Authorization:
    return Authorization(_spare_is_the_standby_of_berlin)


async def _denied(authorization: Authorization, identity: Identity, method: str, request: object) -> AccessDeniedError:
    with pytest.raises(AccessDeniedError) as failed:
        await authorization.authorize(identity, method, request)
    return failed.value


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_is_for_the_roles_of_the_table(authorization: Authorization, method: str) -> None:
    request = request_of(method, BERLIN.resource)
    for role in Role:
        if role in TABLE[method].roles:
            authorization.check_role(caller(role), method)
            await authorization.authorize(caller(role), method, request)
            continue
        error = await _denied(authorization, caller(role), method, request)
        assert (error.denial, str(error)) == (
            Denial.ROLE_FORBIDDEN,
            f"{caller(role).uri} may not call {method.rpartition('/')[2]}",
        )
        with pytest.raises(AccessDeniedError, match="may not call"):
            authorization.check_role(caller(role), method)


async def test_a_standby_acts_for_the_pbx_that_it_stands_in_for_and_nobody_else_does(
    authorization: Authorization,
) -> None:
    await authorization.authorize(SPARE, RENEW, lease_pb2.RenewLeaseRequest(pbx=BERLIN.resource))
    other = identity_of("license-master://projects/acme/pbxs/paris")
    error = await _denied(authorization, other, RENEW, lease_pb2.RenewLeaseRequest(pbx=BERLIN.resource))
    assert error.denial is Denial.NOT_YOUR_PBX
    opening = lease_pb2.OpenLeaseRequest(pbx=BERLIN.resource)
    assert (await _denied(authorization, SPARE, OPEN, opening)).denial is Denial.NOT_YOUR_PBX


async def test_who_is_confined_to_a_project_stays_in_it(authorization: Authorization) -> None:
    method = "licensemaster.v1.StatusService/GetStatus"
    anna = Identity(Role.VIEWER, "anna", "acme")
    await authorization.authorize(anna, method, request_of(method, BERLIN.resource, "acme"))
    error = await _denied(authorization, anna, method, request_of(method, BERLIN.resource, "globex"))
    assert error.denial is Denial.NOT_YOUR_PROJECT
    assert "globex" not in str(error)
