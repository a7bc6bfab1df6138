"""gRPC: thin services, one interceptor, and the two tables between our words and the wire's.

`convert/` is the only place that knows both protobuf and the domain; `errors.py` says which failure is which status.
"""
