"""Outside libraries and protocols, one file each; every one is an optional extra."""
