"""The local API: HTTP/1.1 and JSON, on a Unix socket and, if told, on loopback.

Here belongs what is about requests and answers. What a seat is and who has it does not: the client of the agent knows.
"""
