"""The ground under every stage: records, recipe, errors, atomic files. No torch, no images."""
