"""Pooling effects: one mean, its uncertainty, and how much the studies differ."""
