"""What a vendor has: keys, license files that it signs, and the commands for both.

Here belongs `license-master vendor`. It needs no master to sign; of the master's packages it knows the catalog, and how
commands ask and show. Nothing in `master` imports it: the table of commands names it.
"""
