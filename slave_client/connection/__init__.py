"""Connections to the masters and the client's state toward them: addresses, attempts, and when to try again.

Here belong calls as such, and what their failures say of the lease. What is asked for does not: seats are for `seats`,
opening and renewing for `lease`.
"""
