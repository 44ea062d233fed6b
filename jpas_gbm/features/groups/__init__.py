"""Groups of features; a file here registers itself."""
