"""The same storm on etcd and Redis, each in its best exact form, durable on every write.

etcd: a lease per site; each seat takes a numbered slot key that must not exist yet, so nothing is contended and slots
go free with the lease. Redis: a Lua script that checks the lease, adds the seat and counts, with appendfsync always.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import etcd3aio
import grpc
import redis.asyncio as redis

from bench.load import CHANNELS, PHONES, SITES
from licensemaster.tls.channels import open_channel

sys.path.insert(0, str(Path(etcd3aio.__file__).parent / "proto"))
from etcd.api.etcdserverpb import rpc_pb2, rpc_pb2_grpc  # type: ignore[import-not-found]


@asynccontextmanager
async def _process(*command: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def has_etcd() -> bool:
    return shutil.which("etcd") is not None


def has_redis() -> bool:
    return shutil.which("redis-server") is not None


async def etcd_storm(rounds: int) -> list[float]:
    """Seconds per storm on a fresh etcd."""
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-etcd-") as folder:
            client, peer = _free_port(), _free_port()
            urls = [f"http://127.0.0.1:{port}" for port in (client, peer)]
            command = (
                "etcd", "--data-dir", folder, "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
                "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1],
                "--initial-cluster", f"default={urls[1]}", "--max-txn-ops", "256", "--log-level", "error",
            )  # fmt: skip
            async with _process(*command), AsyncExitStack() as stack:
                channels = [
                    await stack.enter_async_context(open_channel(f"127.0.0.1:{client}")) for _ in range(CHANNELS)
                ]
                async with asyncio.timeout(30):
                    await asyncio.gather(*(channel.channel_ready() for channel in channels))
                await asyncio.sleep(1)  # it elects itself
                runs.append(await _etcd_once(channels))
    return runs


async def _etcd_once(channels: list[grpc.aio.Channel]) -> float:
    leases = [rpc_pb2_grpc.LeaseStub(channel) for channel in channels]
    stores = [rpc_pb2_grpc.KVStub(channel) for channel in channels]

    async def morning(site: int) -> bool:
        lease = (await leases[site % CHANNELS].LeaseGrant(rpc_pb2.LeaseGrantRequest(TTL=3600))).ID
        request = rpc_pb2.TxnRequest()
        for phone in range(PHONES):
            slot, holder = b"slot/%d" % (site * PHONES + phone), b"seat/%d/phone-%d" % (site, phone)
            request.compare.add(result=rpc_pb2.Compare.EQUAL, target=rpc_pb2.Compare.VERSION, key=slot, version=0)
            request.success.add(request_put=rpc_pb2.PutRequest(key=slot, value=holder, lease=lease))
            request.success.add(request_put=rpc_pb2.PutRequest(key=holder, value=slot, lease=lease))
        return bool((await stores[site % CHANNELS].Txn(request)).succeeded)

    started = time.perf_counter()
    done = await asyncio.gather(*(morning(site) for site in range(SITES)))
    seconds = time.perf_counter() - started
    assert all(done)
    return seconds


_ACQUIRE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
local granted = 0
local used = tonumber(redis.call('GET', KEYS[3]) or '0')
local capacity = tonumber(ARGV[1])
for at = 2, #ARGV do
    if used < capacity and redis.call('HSETNX', KEYS[2], ARGV[at], '1') == 1 then
        used = used + 1
        granted = granted + 1
    end
end
redis.call('SET', KEYS[3], used)
return granted
"""


async def redis_storm(rounds: int) -> list[float]:
    """Seconds per storm on a fresh Redis that syncs every write."""
    runs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-redis-") as folder:
            port = _free_port()
            command = (
                "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--appendonly", "yes",
                "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0",
            )  # fmt: skip
            async with _process(*command):
                clients = [
                    redis.Redis(host="127.0.0.1", port=port, single_connection_client=True) for _ in range(CHANNELS)
                ]
                await _answering(clients)
                runs.append(await _redis_once(clients))
                await asyncio.gather(*(client.aclose() for client in clients))
    return runs


async def _answering(clients: list[redis.Redis]) -> None:
    async with asyncio.timeout(30):
        for client in clients:
            while True:
                try:
                    await client.ping()
                    break
                except redis.ConnectionError:
                    await asyncio.sleep(0.05)


async def _redis_once(clients: list[redis.Redis]) -> float:
    scripts = [client.register_script(_ACQUIRE) for client in clients]
    phones = [f"phone-{phone}" for phone in range(PHONES)]
    queues = [iter(range(first, SITES, CHANNELS)) for first in range(CHANNELS)]

    async def connection(number: int) -> int:
        granted = 0
        for site in queues[number]:
            await clients[number].set(f"lease:{site}", "1", ex=3600)
            keys = [f"lease:{site}", f"seats:{site}", "used"]
            granted += int(await scripts[number](keys=keys, args=[SITES * PHONES, *phones]))
        return granted

    started = time.perf_counter()
    granted = sum(await asyncio.gather(*(connection(number) for number in range(CHANNELS))))
    seconds = time.perf_counter() - started
    assert granted == SITES * PHONES, granted
    return seconds


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
