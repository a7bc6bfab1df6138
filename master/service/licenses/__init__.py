"""Licenses imported, bound, released and rebound, with the keys and certificates that this takes (rules L1 to L7).

Here belongs what changes a project's licenses, also on behalf of an agreement.
"""
