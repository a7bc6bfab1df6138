"""Orders of agreements carried out, and licenses made what the ledger entitles to.

Here belongs what writes the agreement ledger. What it says is read in `estates/agreement_ledgers.py`.
"""
