"""Flink Agents' compiled plans: of these, the configuration."""
