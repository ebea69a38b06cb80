"""Sub-agents, in the two ways in which they are called."""
