"""The runtime of a job: driven by an engine, owner of no source."""
