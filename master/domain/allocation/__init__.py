"""The division of a project's shared pools between its sites when they are short: the operator's rules, and arithmetic.

Here belongs what follows from the rules and from numbers of seats. What a PBX may hold is decided in `seats`, which
asks here how much of a pool is left for a site.
"""
