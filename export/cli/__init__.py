"""The command `convserve-export`."""
