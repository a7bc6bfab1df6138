"""Leases and seats as their services see them: group commit, expiry, takeover drills, learning, questions.

Here belongs what PBXs call, and what ends a lease by itself. One batch from inside is `batch`.
"""
