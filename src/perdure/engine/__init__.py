"""Engines: what feeds a job and takes its outputs."""
