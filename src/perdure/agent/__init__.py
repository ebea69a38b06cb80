"""From a class to a frozen plan."""
