"""One action while it executes: its cursor in the journal, calls, waits, children, context."""
