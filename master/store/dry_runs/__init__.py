"""Dry runs: work that is done on a copy of a project, which is thrown away with what the work wrote.

Here belongs what is copied, and how. What work may be tried is for the services.
"""
