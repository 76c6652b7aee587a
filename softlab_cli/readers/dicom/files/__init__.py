"""DICOM files: what they are, their frames, their pixels."""
