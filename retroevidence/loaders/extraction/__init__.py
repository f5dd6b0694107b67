"""Candidate results read from abstracts, and the way from there into the tables of a review."""
