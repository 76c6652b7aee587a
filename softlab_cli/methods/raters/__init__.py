"""Methods that make one soft label of several raters."""
