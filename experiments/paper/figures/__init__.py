"""Draws the figures of the paper.

A figure is a module with ``PLACE`` (its number), ``NEEDS`` (its records), ``CAPTION`` and
``draw(data, files)``.
"""
