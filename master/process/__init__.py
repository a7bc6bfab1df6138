"""What a process needs whatever it serves: long-lived tasks, attempts at what was lost, files that may be open.

Here belongs nothing that knows of leases or licenses, and nothing that puts the master together.
"""
