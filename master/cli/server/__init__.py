"""What is typed where a master runs: serve it, look after its database, its settings and catalogs, read, try it.

Here belongs what needs the master's files rather than its API.
"""
