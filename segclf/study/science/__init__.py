"""The science: each claim of the method as a study, on data with known truth and on any other."""
