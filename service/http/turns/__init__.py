"""Shares the time of an iteration of the event loop between connections."""
