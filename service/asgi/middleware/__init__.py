"""ASGI middleware around the application, each enabled by its setting."""
