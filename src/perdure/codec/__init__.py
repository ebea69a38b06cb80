"""Values to bytes and back, digests, exceptions, names of types and callables."""
