"""What listens: the gRPC server, its certificates and reflection, and the page of metrics.

Here belongs how connections are taken and ended.
"""
