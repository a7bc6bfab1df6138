"""Certificates as they are read and judged: the master's own, and those that callers show.

Here belongs what is true of a certificate whoever calls. What its owner may do is for `callers`.
"""
