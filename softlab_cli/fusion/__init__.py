"""From several raters to one soft label: patterns, votes, blends, STAPLE, agreement.

What the raters say about a voxel is its *pattern*, and a case has few different
ones. All rules of fusion, and all statistics, are computed once for each pattern
and not for each voxel; the voxels are met again only when soft labels are written.
"""
