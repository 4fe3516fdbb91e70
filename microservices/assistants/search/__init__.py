"""file_search: files, vector stores, passages and citations."""
