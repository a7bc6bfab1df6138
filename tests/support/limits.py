"""How long tests wait, and how much is tried."""

import os

HANG_SECONDS = 600
"""For what must come: far longer than a busy machine needs, so that it ends hangs alone."""

LONG = bool(os.environ.get("TESTS_LONG"))
"""`make test-long`: many more examples, histories and kills, with other seeds each time."""

EITHER_DATABASE = os.environ.get("TESTS_DATABASE", "sqlite")
"""The kind of database for tests in which it plays no part: `sqlite`, or `postgresql`."""
