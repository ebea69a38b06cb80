"""The command line: a thin face over engine, history and control."""
