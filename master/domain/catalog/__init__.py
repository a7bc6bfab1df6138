"""What vendors sell, as data: license types, policies over time, releases, and the words and versions they use.

Here belongs what a catalog file says and how it is read. What a project has of it does not: that is `estate`.
"""
