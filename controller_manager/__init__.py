"""The control loops that make the cluster's state what its objects ask for, one module each, run by one leader."""
