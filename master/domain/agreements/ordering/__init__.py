"""Decide orders: what is written into the ledger and what it costs, or the reason for a refusal. Read `decide_order.py`
first.

Here belongs one module for each kind of order. The ledger itself is for `ledger`.
"""
