"""How good predictions are, and how well calibrated."""
