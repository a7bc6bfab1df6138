"""The `license-master` command: what operators type. It talks to a running master through gRPC alone."""
