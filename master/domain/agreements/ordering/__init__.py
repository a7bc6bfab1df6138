"""Orders decided: what is written into the ledger and what it costs, or one reason why not. Read `decide_order.py`
first.

Here belongs one module for each kind of order. The ledger itself is for `ledger`.
"""
