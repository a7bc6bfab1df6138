"""Dry runs: work that is done on a copy of a project; the copy and what the work wrote are discarded.

Here belongs what is copied, and how. Which work may be tried is for the services.
"""
