"""Campaigns of faults against softlab, which anyone can run: ``python -m tests.campaign``."""
