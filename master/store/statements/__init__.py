"""The statements, by what they read and write; the tables are in `migrations/`.

Here belongs SQL that runs in a given transaction. Nothing here decides, and nothing here opens a database.
"""
