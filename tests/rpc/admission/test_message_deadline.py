"""One timer ends whatever reads for too long, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from master.rpc.admission.message_deadline import MessageDeadline
from master.rpc.errors import MessageLateError
from tests.support.limits import HANG_SECONDS


async def test_who_reads_too_long_is_ended_one_after_the_other() -> None:
    deadline = MessageDeadline(0.05)
    for _ in range(2):
        late = [asyncio.create_task(deadline.within(asyncio.Event().wait())) for _ in range(3)]
        await asyncio.sleep(0.02)
        late.append(asyncio.create_task(deadline.within(asyncio.Event().wait())))
        async with asyncio.timeout(HANG_SECONDS):
            ends = await asyncio.gather(*late, return_exceptions=True)
        assert [type(end) for end in ends] == [MessageLateError] * 4
        assert not any(task.cancelled() for task in late)


async def test_what_comes_in_time_is_passed_on_and_its_task_is_left_alone_later() -> None:
    deadline = MessageDeadline(1)

    async def serve() -> bytes:
        message = await deadline.within(asyncio.sleep(0, b"message"))
        with pytest.raises(MessageLateError):  # of another call: by then the time of this one is over, too
            await asyncio.create_task(deadline.within(asyncio.Event().wait()))
        return message

    assert await serve() == b"message"


async def test_a_caller_that_gives_up_is_not_late() -> None:
    reading = asyncio.create_task(MessageDeadline(HANG_SECONDS).within(asyncio.Event().wait()))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_message_that_came_while_the_master_was_halted_is_in_time() -> None:
    there, here = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    reading = asyncio.create_task(MessageDeadline(0.05).within(reader.readline()))
    await asyncio.sleep(0)
    there.sendall(b"message\n")
    time.sleep(1)  # noqa: ASYNC251  # the whole process
    assert await reading == b"message\n"
    writer.close()
    there.close()
