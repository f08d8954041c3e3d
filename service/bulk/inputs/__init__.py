"""Lists the image files that the arguments of a command name."""
