"""A database behind three methods, and what differs between SQLite and PostgreSQL.

Here belongs how a transaction begins, ends and fails. What is read and written in it is for `statements`.
"""
