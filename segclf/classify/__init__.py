"""Tensors to a trained classifier."""
