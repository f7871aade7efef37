"""What is special to each resource (one module each), and the one path that every write takes (store)."""
