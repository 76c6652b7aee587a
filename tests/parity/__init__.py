"""softlab beside the authors' own code (``make parity``), where a checkout of it is given.

checkout.py imports modules of a checkout, figures.py counts differences and writes
tables; svls.py, geols.py, marginals.py and jdt.py compare with one repository each.
Nothing of the repositories is part of softlab, and no test needs them.
"""
