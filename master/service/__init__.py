"""The only place that changes state: requests are gathered into batches, decided by the core, committed, answered.

Services call the rooms' verbs (`leases/leases.py`, `projects/projects.py`, `licenses/licenses.py` and so on);
`leases/committer.py` gathers requests and commits them; `batch/batch.py` is one batch.
"""
