"""From the files of a case to class indices on one grid."""
