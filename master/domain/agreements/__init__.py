"""Agreements, trials, maintenance, yearly seats, warranty: what licenses may do over time (L6, L7, M, N, P, Q, R).

One ledger, one fold, one table of policies: `domain/agreements/ledger/entries.py` has what was written down,
`domain/agreements/ledger/state.py` the state that follows, `domain/catalog/policies.py` what the catalog says of time,
`domain/agreements/ledger/orders.py` the orders, `domain/agreements/ordering/decide_order.py` the decision on an order,
`domain/agreements/ledger/problems.py` every reason for a refusal. `domain/agreements/rights/endings.py`,
`domain/agreements/rights/upgrade_gate.py` and `domain/agreements/rights/rights.py` answer about a day. Pure: standard
library, no clock; the caller passes the day. docs/agreements.md explains it in words.
"""
