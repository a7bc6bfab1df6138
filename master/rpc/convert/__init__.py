"""Between protobuf and the domain; nothing else knows both."""
