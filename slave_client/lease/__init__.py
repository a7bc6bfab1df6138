"""The lease: opened, renewed at the master's pace, watched between renewals, and closed.

Here belongs what keeps a lease alive. The seats held under a lease are for `seats`.
"""
