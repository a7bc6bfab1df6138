"""A project's agreement ledger: its entries, what they fold into, and the orders and prices it is written from.

Here belongs what is known of agreements, and its plain data. Whether an order is carried out is for `ordering`.
"""
