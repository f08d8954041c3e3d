"""Processes for long work on clients' data."""
