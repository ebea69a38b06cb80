"""The test kit: what perdure's own tests use and a user's tests may. Needs no test framework."""
