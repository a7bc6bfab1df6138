"""Seats acquired, returned, synchronised and given up: with the master while it answers, without it while it does not.

Here belongs who asks for seats, and what the master is asked. What this site holds by then is for `holdings`, how long
it may hold it for `lease`.
"""
