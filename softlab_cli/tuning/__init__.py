"""Which soft label, and how much of it: chosen from several raters' own labels.

``softlab tune`` and `softlab_cli.tune`. No network is needed: a soft label is as good as it
predicts a rater who has no part in it.
"""
