"""Network and cases to mask statistics."""
