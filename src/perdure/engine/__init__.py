"""Engines: what feeds a job and takes its outputs, and the clock of its schedules."""
