"""Operating-system facilities: sockets, CPU quotas, file descriptors, shared memory, file watching."""
