"""Faults of the database, of its disk and of who serves it."""
