"""Seats acquired, returned, synchronised and given up: with the master while it answers, without it while it does not.

Here belongs what this site holds and who asked for it. How long it may hold it is for `lease`.
"""
