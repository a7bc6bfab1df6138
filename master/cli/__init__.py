"""The `license-master` command: what operators type. It talks to a running master through gRPC alone."""


def start() -> None:
    """Runs the command; Ctrl-C ends it in silence also while what it needs is still being loaded."""
    try:
        from master.cli.main import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
