"""Cases to tensors: reading, caching, augmentation, batches."""
