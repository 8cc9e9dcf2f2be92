"""Scores, labels and groups to rows of numbers."""
