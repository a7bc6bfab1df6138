"""One batch of requests on leases and seats: what it reads under lock, how it is decided, what it writes.

Here belongs what happens between the first lock and the commit. When a batch runs is for `leases/committer.py`.
"""
