"""Benchmarks: the whole tool against other ways of doing the same (``make bench``).

inputs.py and data.py make the inputs, measure.py runs processes and takes the operating
system's figures, peers.py holds the other ways, tables.py says what is compared
with what, report.py turns the figures into Markdown.
"""
