"""The audit as a hash chain, and its export as a file that anybody can verify.

Here belongs what a chain is. What is written into it is for whoever changes something.
"""
