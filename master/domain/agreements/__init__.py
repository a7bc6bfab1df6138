"""Agreements, trials, maintenance, yearly seats, warranty: what licenses may do over time (L6, L7, M, N, P, Q, R).

One ledger, one fold, one table of policies: `entries.py` is what was written down, `state.py` what follows from it,
`policies.py` what the catalog says of time, `orders.py` what somebody can want, `decide.py` the answer to it,
`problems.py` every "no". `questions.py`, `gate.py` and `rights.py` ask about a day. Pure: standard library, no clock;
the day comes in. docs/agreements.md explains it in words.
"""
