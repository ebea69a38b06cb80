"""One run while it executes: its events, actions and memory; its end."""
