"""The tables, and statements made of their columns' names.

Here belongs what a table consists of. SQLAlchemy describes tables, for what walks all of them: migrations and copies of
projects; whoever serves leases does without it.
"""
