"""Kamailio asks the agent before it accepts a registration; its own protocol, over evapi and JSON-RPC.

Here belongs what is about Kamailio. Which seat may be had does not: that is the agent's.
"""
