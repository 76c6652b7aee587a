"""DICOM series: slices sorted into one grid, and read."""
