"""Projects as files, and what would happen if they changed.

Here belongs how an estate is written down and read back.
"""
