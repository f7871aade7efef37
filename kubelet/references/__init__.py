"""What a pod's spec refers to: config maps, secrets, claims, tokens, its own fields, other variables."""
