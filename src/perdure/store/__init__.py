"""Where the journal is kept: what a store is, group commit, ownership; a folder a backend."""
