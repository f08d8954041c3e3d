"""Latencies, throughput and checked answers of a run."""
