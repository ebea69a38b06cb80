"""Flink: agents in a DataStream job. The only part of perdure that imports pyflink."""
