"""What everything rests on: errors, grids, classes, blocks, memory. Nothing here knows a file."""
