"""Agreements, trials, maintenance, yearly seats, warranty: what licenses may do over time (L6, L7, M, N, P, Q, R).

One ledger, one fold, one table of policies: `domain/agreements/ledger/entries.py` is what was written down,
`domain/agreements/ledger/state.py` what follows from it, `domain/catalog/policies.py` what the catalog says of time,
`domain/agreements/ledger/orders.py` what somebody can want, `domain/agreements/ordering/decide_order.py` the answer to
it, `domain/agreements/ledger/problems.py` every "no". `domain/agreements/rights/endings.py`,
`domain/agreements/rights/upgrade_gate.py` and `domain/agreements/rights/rights.py` ask about a day. Pure: standard
library, no clock; the day comes in. docs/agreements.md explains it in words.
"""
