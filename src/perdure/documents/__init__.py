"""Documents, what is asked of them and how they are ranked, known to store and runtime."""
