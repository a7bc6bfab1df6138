"""The gRPC transport: thin services, one interceptor, and what turns values of the domain into messages and back.

`convert/` is the only place that knows both protobuf and the domain; `errors.py` gives the status of each failure.
"""
