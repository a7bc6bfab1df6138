"""Turns protobuf messages into values of the domain and back; no other folder knows both."""
