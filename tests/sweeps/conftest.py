from pathlib import Path

import pytest

from tests.helpers.records import make_four


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Folder of a sweep: two datasets under four poolings."""
    return make_four(tmp_path)
