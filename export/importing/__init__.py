"""Networks from other sources: reading a graph, fitting it to the server, comparing and publishing it."""
