"""States the claims of the paper; their sentences take all numbers from the evidence."""
