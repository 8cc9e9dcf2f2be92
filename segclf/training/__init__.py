"""The one training loop, its runtime and its checkpoints."""
