"""Who calls, what they may call, and how much of it.

Here belong tables by role and the limits of one caller. How a caller proves who it is does not: that is `certificates`.
"""
