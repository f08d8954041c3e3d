"""The load generator of `convserve bench` and `benchmarks/`; the server does not use it."""
