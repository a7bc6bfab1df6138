"""A database made, upgraded, checked, copied and put back: what is done to it as a whole.

Here belongs what `license-master db` does. Nothing that serves a request needs it.
"""
