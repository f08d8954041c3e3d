"""Minimal HTTP/1.1 and gRPC clients that send prepared requests."""
