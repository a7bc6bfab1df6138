"""Tables, statements, and the differences between SQLite and PostgreSQL.

This package knows how data is kept, not what it means: nothing in here grants or refuses. A change runs inside
`Database.transact`, whose docstring says what it guarantees.
"""
