"""`make bench`: how fast it is, as ratios from one run.

`scenarios` says what is measured, `load.py` makes the load, `serving.py` starts masters and a bare gRPC echo of the
same messages, `peers.py` etcd and Redis, and `pictures.py` draws. No test asserts any of it; docs/performance.md tells
the figures.
"""

import os

# Masters are started as programs of their own; gRPC's handlers for forks have nothing to do then but to crash.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
