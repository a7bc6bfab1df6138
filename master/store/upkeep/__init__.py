"""Making, upgrading, checking, copying and restoring a database as a whole.

Here belongs what `license-master db` does. Nothing that serves a request needs it.
"""
