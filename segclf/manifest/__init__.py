"""Which cases, labels, masks and groups: the case table, its checks and its split."""
