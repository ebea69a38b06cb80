"""Where inputs come from and where outputs go."""
