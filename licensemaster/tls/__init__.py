"""Connections by gRPC and their certificates: channels, files in PEM, a handshake to prove them, and why one failed.

Here belongs what both ends of a connection do alike. Who may call what does not: that is `master/auth`; which master
is called is for `slave_client/connection`.
"""
