"""Processes that classify chunks of files."""
