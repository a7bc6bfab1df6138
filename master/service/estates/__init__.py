"""Estates and agreement ledgers as they were last read; where their revision has changed, read anew under lock.

Here belongs what every room reads before it decides. Nothing here changes anything.
"""
