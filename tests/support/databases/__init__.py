"""Database servers of every kind that tests start, and what is in them."""
