"""Limits of the gRPC port that grpcio does not have: on messages, calls and connections."""
