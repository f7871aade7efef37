"""Gives each pod a node: a queue, the nodes as columns, and a framework of plugins that filter, score and bind."""
