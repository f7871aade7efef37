"""What pods use of the node, and what is done before it runs out: usage, garbage collection, eviction."""
