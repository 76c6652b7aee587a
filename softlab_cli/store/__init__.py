"""The store: soft labels of many cases in one Zarr v3 folder (schema 1.1).

``schema`` says what is written where, ``layout`` how an array lies in files,
``ngff`` what others learn of it, ``writer`` writes, ``reader`` reads patches, ``verify``
looks for damage. Neither
writing nor reading needs zarr-python: a shard file is its chunks in any order
with an index at the end, and is read and written directly.
"""
