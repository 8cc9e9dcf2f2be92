"""Statistics on bare arrays: covariances, intervals, tests and corrections, each with its source.

Nothing here knows of score tables, files or settings.
"""
