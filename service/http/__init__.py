"""The HTTP/1.1 protocol layer below the application."""
