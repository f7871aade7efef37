"""Workloads: the kinds of apps/v1."""
