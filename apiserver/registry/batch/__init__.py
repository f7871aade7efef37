"""Work that ends: the kinds of batch/v1."""
