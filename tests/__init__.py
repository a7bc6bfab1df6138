import os

# uvloop forks to start a program, and gRPC would go on in the child with threads of its own: some crashed there before
# the program had begun.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
