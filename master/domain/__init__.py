"""The deciding core: pure functions and frozen data, standard library only.

Start with `decide.py`: it answers what a PBX may hold. It reads the estate (`estate.py`) in the terms of a catalog
(`catalog.py`), keeps score in a ledger (`ledger.py`), and explains every "no" (`explanations.py`). Nothing in here does
I/O, looks at a clock or logs: time and data are handed in, so that `explain` and a plan run the same code on a copy.
"""
