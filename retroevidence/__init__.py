"""Claims to verdicts: evidence tables, meta-analysis, and a trace to the page."""
