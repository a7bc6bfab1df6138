"""The lease: opened, renewed at the master's pace, watched between renewals, and closed.

Here belongs what keeps a lease alive. What is held under it is for `seats`.
"""
