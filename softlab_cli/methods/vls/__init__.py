"""Variational label smoothing: soft labels that networks learn, out of fold.

Settings alone are in `parameters` and `recipe`, whole numbers in `folds` and `tiles`,
arrays in `cases`, `batches`, `maps` and `blending`; torch is in `network`, `loss`,
`training`, `measuring`, `drawing` and `weights` only. `learning` trains the model of a run,
`model` is what is kept of it, `applying` uses it on a case, and `vls` is the method.
"""
