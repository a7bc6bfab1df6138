"""How long a test waits for what must come: far longer than a busy machine needs, so that it ends hangs alone."""

HANG_SECONDS = 600
