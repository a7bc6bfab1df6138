"""The `license-master` command: what operators type. It talks to a running master through gRPC alone."""


def start() -> None:
    """Run the command; Ctrl-C ends the command without a message, also while its modules are still being loaded."""
    try:
        from master.cli.main import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
