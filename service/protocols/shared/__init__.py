"""Request and response handling that all dialects share."""
