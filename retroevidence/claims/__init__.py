"""From effects to verdicts: what a claim selects, the synthesis ladder, the rule, the certainty."""
