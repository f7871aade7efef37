"""The error that ends a group of rows: one sentence for the user."""


class BenchmarkError(Exception):
    """This group cannot be measured here, or what it measured is no measurement (requests failed, say)."""
