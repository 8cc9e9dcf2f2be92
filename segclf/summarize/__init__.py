"""Mask statistics to scores and decisions."""
