"""The ASGI application and its OpenAPI description."""
