"""One run while it executes: its events and what they trigger, its memory, its rest and its end."""
