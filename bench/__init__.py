"""`make bench`: how fast it is, as ratios from one run.

`scenarios.py` says what is measured, `load.py` makes the load, `peers.py` are those it is compared with: a bare gRPC
echo of the same messages, etcd and Redis. No test asserts any of it; docs/performance.md tells the figures.
"""
