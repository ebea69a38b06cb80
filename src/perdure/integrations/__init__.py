"""Outside libraries and protocols; none is loaded, or needed, before it is used."""
