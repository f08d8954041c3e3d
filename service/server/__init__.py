"""Server processes: start, supervision and shutdown."""
