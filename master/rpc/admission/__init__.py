"""What is checked of every call before it is served: who calls, what it may bring, how its failure is reported.

Here belongs what is the same for every method. The tables of who may do what are in `master/auth`.
"""
