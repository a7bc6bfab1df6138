"""A receiver of webhooks for the tests of services."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.network.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened
