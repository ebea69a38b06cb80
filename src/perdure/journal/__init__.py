"""What is recorded of a run, how values become bytes, and how a replay reads it back."""
