"""Pooling of effects of which some are only known to lie between two limits."""
