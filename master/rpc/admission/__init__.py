"""What every call passes before it is served: who calls, what it may bring, and what its failure is called.

Here belongs what is alike for every method. The tables it goes by are in `master/auth`.
"""
