"""convserve's own REST API."""
