"""Seats acquired, returned, synchronised and given up: with the master while it answers, without it while it does not.

Here belongs what is asked of the master for seats. What this site holds is for `holdings`, how long
it may hold it for `lease`.
"""
