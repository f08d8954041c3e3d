"""API keys, authorization, rate limits and TLS."""
