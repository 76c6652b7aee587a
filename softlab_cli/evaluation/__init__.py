"""Predictions against references: how good, how well calibrated, how sure that is."""
