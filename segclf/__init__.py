"""Segmentation-for-classification in medical imaging.

The flow is the layout: manifest -> data -> segment -> predict -> summarize -> evaluate -> report;
`classify` trains an ordinary classifier on the same cases, and both meet at the score table.
Read `segclf/pipeline.py` first. For research use, not for diagnosis.
"""

__version__ = "0.1.0"
