"""Licenses that move: imported, bound, released, rebound, and what prevents that (rules L1 to L7).

Here belongs what may become of a license. What agreements make of it is for `agreements`.
"""
