"""Geodesic distance: several engines behind one contract (`softlab_cli.geodesic.base`)."""
