"""What agreements allow on a day: which release may run, which seats are in force, what ends and when to say so.

Here belong answers that change nothing. Orders are for `ordering`.
"""
