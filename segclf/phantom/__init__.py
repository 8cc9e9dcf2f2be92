"""The built-in synthetic data set, 2D and 3D, with known truth."""
