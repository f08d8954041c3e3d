"""Changes the served versions while the server runs."""
