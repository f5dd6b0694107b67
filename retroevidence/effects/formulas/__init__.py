"""The formulas of the effect measures, one family per file."""
