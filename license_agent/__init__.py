"""A small daemon beside a PBX: it holds the PBX's lease, and answers locally what the PBX asks over HTTP.

Here belongs what a PBX meets that is written in no Python: settings, the local API, adapters. How a lease is kept and
what may be used offline does not: that is `slave_client`.

EMERGENCY RULE: emergency calls and running calls never depend on a license. The agent says so in every state; a PBX
does not even ask.
"""


def start() -> None:
    """Run the command; Ctrl-C ends it in silence also while what it needs is still being loaded."""
    try:
        from license_agent.commands import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
