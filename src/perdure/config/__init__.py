"""Configuration: what can be set, and how it is read from arguments, files and the environment."""
