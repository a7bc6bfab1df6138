"""Who runs this program."""

import getpass
import os


def account() -> str:
    """Return the name of the account, or its number where it has no name, as in containers."""
    try:
        return getpass.getuser()  # noqa: TID251  # here alone
    except (KeyError, OSError):
        return str(os.getuid())
