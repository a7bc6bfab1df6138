"""Tables, statements, and the differences between SQLite and PostgreSQL.

Knows how things are kept, not what they mean: nothing in here grants or refuses. A change runs inside
`Database.transact`; what it guarantees is written down there.
"""
