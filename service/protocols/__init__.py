"""One thin file a dialect, all on the same data plane."""
