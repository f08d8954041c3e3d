"""The dialects, all served by one data plane."""
