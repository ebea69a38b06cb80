"""One action while it executes: its place in the journal, calls and waits."""
