"""The claims of the papers, checked on data with known truth and on a user's."""
