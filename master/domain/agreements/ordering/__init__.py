"""Decisions on orders: what is written into the ledger and what it costs, or why an order is refused.

Read `decide_order.py` first. Here belongs one module for each kind of order. The ledger itself is for `ledger`.
"""
