"""How things stand: status, seats, leases, events, why a seat is refused, reports, the audit, webhooks, standbys.

Here belong questions, and the few acts that come from looking.
"""
