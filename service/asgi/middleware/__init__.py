"""What lies around the application: plain ASGI, and each part only where its setting is on."""
