"""Several effects per study: multilevel and multivariate models, covariances, robust variance."""
