"""Tensors to a trained segmenter."""
