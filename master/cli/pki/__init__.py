"""A small certificate authority in a folder.

Here belongs `license-master pki`; what it does is `master/auth/authority/authority.py`.
"""
