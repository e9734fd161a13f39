"""From causes to changes: the remedies, their numbers, what is coupled to them, and the plan."""
