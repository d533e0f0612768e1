"""Experiment trackers, which mirror the records."""

from src.registry import import_modules

import_modules(__name__)
