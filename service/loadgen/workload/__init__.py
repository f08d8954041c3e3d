"""Requests to send, when to send them, and how to read the responses."""
