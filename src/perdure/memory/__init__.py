"""Memory: what a key and a run remember, and long-term memory."""
