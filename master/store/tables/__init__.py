"""The tables by name, the chain that makes them, and statements made of their columns' names.

Whoever serves leases from a file loads no SQLAlchemy for it.
"""
