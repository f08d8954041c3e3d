"""Requests to send, the times to send them, and parsers of the responses."""
