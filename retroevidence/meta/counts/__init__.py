"""Pooling of counts: Mantel-Haenszel, Peto, and mixed models on the counts themselves."""
