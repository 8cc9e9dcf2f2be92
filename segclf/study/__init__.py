"""Whole experiments: the recipes of configs/, cell by cell."""
