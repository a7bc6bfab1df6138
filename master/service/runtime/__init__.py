"""What everything that serves goes by: time, tasks that repeat, turns in a queue, watchers, names and errors.

Here belongs what knows nothing of leases, licenses or agreements.
"""
