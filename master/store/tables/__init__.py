"""The tables, and statements made of their columns' names.

Here belongs what a table consists of. SQLAlchemy describes tables, for migrations and for copies of projects from a
server; whoever serves leases from a file does without it.
"""
