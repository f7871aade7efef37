"""What is special to each resource (a package per API group), and the one path that every write takes (store)."""
