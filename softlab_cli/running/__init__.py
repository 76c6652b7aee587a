"""A run over cases: planned, done case by case in bounded memory, told to listeners."""
