"""The only place that changes state: requests are gathered into batches, decided by the core, committed, answered.

`master.py` is what the services call; `service/leases/committer.py` gathers and commits; `service/batch/batch.py` is
one batch.
"""
