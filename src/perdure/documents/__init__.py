"""What store and runtime know of retrieval: documents, filters, the index, rankings."""
