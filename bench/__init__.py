"""`make bench`: how fast it is, as ratios from one run.

`scenarios.py` says what is measured, `load.py` makes the load, `peers.py` are those it is compared with: a bare gRPC
echo of the same messages, etcd and Redis. No test asserts any of it; docs/performance.md tells the figures.
"""

import os

# Masters are started as programs of their own; gRPC's handlers for forks have nothing to do then but to crash.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
