"""What is measured with the suite: benchmarks and, later, the paper. It begins where src/ ends, which never imports it."""
