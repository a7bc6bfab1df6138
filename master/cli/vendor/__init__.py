"""What a vendor does without a master, and what operators do about vendors' keys.

Here belongs `license-master vendor`; what it does is `master/vendor.py`.
"""
