"""The command line: a thin face over engine and operate."""
