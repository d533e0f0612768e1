"""The claims of the paper: a function each, whose sentences take their numbers from the evidence."""
