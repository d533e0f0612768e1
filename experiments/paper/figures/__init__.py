"""Draws the figures of the paper.

A figure is a module with ``PLACE`` (its number), ``NEEDS`` (its records), ``CAPTION`` and
``draw(data, files)``; one whose records may hold nothing to show also has ``has_content``. Lines of
a caption are joined where the paper is written.
"""
