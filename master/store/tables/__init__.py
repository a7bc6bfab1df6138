"""The tables by name, the migrations that make them, and statements made of column names.

A master that serves leases from a file does not load SQLAlchemy for this.
"""
