"""Autoscalers, in two versions that are one in storage."""
