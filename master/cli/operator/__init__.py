"""What operators ask a running master for, by what it is about.

Here belong commands that go through gRPC. What is done on a device, at a vendor or beside the master's files does not.
"""
