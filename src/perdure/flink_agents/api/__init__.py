"""Flink Agents' public API."""
