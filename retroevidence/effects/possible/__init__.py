"""Whether printed numbers are possible, alone and against each other."""
