"""Reports on a user's own sweep."""
