"""Licenses imported, bound, released and rebound, and how far that has come.

Here belongs `license-master license`.
"""
