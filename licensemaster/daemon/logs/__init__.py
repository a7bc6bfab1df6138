"""The log: one JSON object a line, written by a thread of its own, bounded, with all that reaches standard error.

Here belongs how lines are written. What is worth a line is decided by the code that logs.
"""
