"""The API's types: one module per group and version, generated, and what they share (base, objects)."""
