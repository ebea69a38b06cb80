"""What people and programs may see of a store, and ask of it."""
