"""Builds the tables of the paper, as Markdown, LaTeX and CSV."""
