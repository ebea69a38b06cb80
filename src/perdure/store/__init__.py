"""Where the journal is kept; knows no agent and no engine."""
