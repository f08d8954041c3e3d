"""Metrics, statistics, logs and traces."""
