"""What vendors sell, as data: license types, policies over time, releases, and their words and versions.

Here belongs what a catalog file says and how the file is read. What a project has of it is in `estate`.
"""
