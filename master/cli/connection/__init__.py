"""The way to a master: options, profiles, TLS, the channel, and what a failed call means for the operator.

Here belongs what every command that asks a master shares.
"""
