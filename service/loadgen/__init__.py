"""Load for a running server: `convserve bench`, and what `benchmarks/` measures with."""
