"""The page of an evaluation: figures with intervals, reliability, cases worst first.

`page` writes it, `lines` puts the cases in order, `tables` and `charts` have its parts, and
`drawing` the pictures of the worst cases, which are made from their files once all are judged.
"""
