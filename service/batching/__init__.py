"""Admission control and dynamic batching in front of one engine."""
