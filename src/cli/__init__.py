"""The command line: the Hydra application, checks of overrides, texts of errors."""
