"""Demo tasks written by grammars: nothing to download, and no sentence of any other corpus.

Each task is one module that registers one function `(draw, label) -> texts`. The texts of a task
follow from its name, its seed and the numbers of rows alone. Single words say little about a label:
it follows from how words stand together, in a sentence or across the two of a pair. The tasks
compare poolings where no data is available; they do not measure a model's English.
"""

from src.registry import import_modules

import_modules(__name__)
