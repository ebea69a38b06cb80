"""Where what is theirs becomes what is ours, and back."""
