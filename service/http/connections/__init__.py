"""Accepts connections, as many as the limits allow."""
