"""The ladder: from what a report prints to the strongest statement about an effect it supports."""
