"""Values to bytes and back, digests, exceptions, and the names of types and callables."""
