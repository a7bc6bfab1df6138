"""Leases: opened, renewed, ended and fenced, the claims that outlive them, and standbys that take over.

Here belongs who may count on seats for how long. Which seats is for `seats`.
"""
