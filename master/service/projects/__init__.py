"""Projects applied, planned and deleted.

Here belongs what happens to an estate as a whole. Its licenses move in `licenses`.
"""
