"""From reported numbers to effects: measures, recovered numbers, assembled rows."""
