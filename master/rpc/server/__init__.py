"""The listeners of a master: the gRPC server, with its certificates and reflection, and the metrics page.

Here belongs how connections are accepted and ended.
"""
