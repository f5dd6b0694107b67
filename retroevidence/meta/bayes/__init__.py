"""The normal-normal model by integration over tau: priors, posteriors, Bayes factors."""
