"""What a PBX may hold: acquired, returned, synchronised, or refused with a reason. Read `decide_seats.py` first.

Here belongs the decision on seats and its words. What would turn a refusal into a grant is for `remedies`; how long
seats last is for `leases`.
"""
