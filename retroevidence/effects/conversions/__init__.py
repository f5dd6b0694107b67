"""Numbers out of partial reports: standard deviations, means, correlations, arms."""
