"""Real SIP: Kamailio, the license agent and SIPp's phones as processes, for the demo, the tests and the benchmark.

What belongs here: starting and ending these programs, and what phones were answered. What does not: what ought to have
been answered.
"""
