"""Complete exports, from a data set or a file to a published model version."""
