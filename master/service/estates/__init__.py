"""Estates and agreement ledgers as they were last read; told stale by their revision, read anew under lock.

Here belongs what every room reads before it decides. Nothing here changes anything.
"""
