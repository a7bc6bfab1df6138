"""Statements on projects: read, written, deleted.

Here belongs an estate as rows. Its licenses and seats have modules of their own in the folder above.
"""
