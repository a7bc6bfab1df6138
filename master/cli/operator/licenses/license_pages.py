"""Lists licenses, page after page, for every command that looks at more than one of them."""

from __future__ import annotations

from collections.abc import Sequence

from licensemaster.v1 import license_pb2
from master.cli.connection.connection import Connection
from master.cli.output.paging import Rows, read_pages


def listed(
    connection: Connection, request: license_pb2.ListLicensesRequest, limit: int = 0
) -> Rows[license_pb2.LicenseStatus]:
    """The licenses that are asked for, at most `limit`; all where it is 0.

    Raises:
        RpcFailure: the master does not answer.
    """

    def fetch(page_size: int, page_token: str) -> tuple[Sequence[license_pb2.LicenseStatus], str]:
        page = license_pb2.ListLicensesRequest()
        page.CopyFrom(request)
        page.page_size, page.page_token = page_size, page_token
        response = connection.call(connection.licenses.ListLicenses, page)
        return response.licenses, response.next_page_token

    return read_pages(fetch, limit)
