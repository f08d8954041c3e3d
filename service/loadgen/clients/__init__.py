"""Load-generating clients for HTTP/1.1 and gRPC."""
