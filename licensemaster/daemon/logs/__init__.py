"""The log: one JSON object a line, written by a thread of its own, never a flood, and all that reaches standard error.

Here belongs how lines are written. What is worth one is for whoever writes it.
"""
