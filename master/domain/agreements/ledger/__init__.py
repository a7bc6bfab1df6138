"""A project's agreement ledger: its entries, the state they fold into, and the orders and prices they are made from.

Here belongs what is known of agreements, and its plain data. Whether an order is carried out is for `ordering`.
"""
