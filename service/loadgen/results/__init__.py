"""Latencies, throughput and checked responses of a run."""
