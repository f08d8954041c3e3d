"""Settings, the limits derived from them, and their command-line flags."""
