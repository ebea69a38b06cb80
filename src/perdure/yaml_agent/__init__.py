"""Agents declared in YAML files, with the keys of Flink Agents."""
