"""DICOM objects that hold labels: SEG and RTSTRUCT, and the series that they refer to."""
