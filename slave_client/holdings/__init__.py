"""What this site holds: seats in use, idle, lost, waited for, and used by their number.

Here belongs what follows from an answer, or from none, with no I/O and no clock. Asking the master is for `seats`.
"""
