"""The page of the server, and the page that describes its API; both load nothing from other hosts."""
