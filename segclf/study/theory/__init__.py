"""`segclf study separability`: what image labels and masks tell apart, known and measured.

docs/theory.md derives what is tested here.
"""
