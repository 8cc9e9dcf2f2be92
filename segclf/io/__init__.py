"""Files to arrays and back: one reader per format."""
