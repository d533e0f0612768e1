"""What a run imports, which is most of the time of a short one."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from src import run
from src.config.schema import ModelConfig
from src.features import loading
from src.models.checkpoint import Checkpoint
from src.models.finding import find_checkpoint
from src.models.options import EncodingOptions
from tests.conftest import Ended

ROOT = Path(__file__).resolve().parents[1]
MODULES = "import json, sys; from src import run; run.main(); print(json.dumps(sorted(sys.modules)))"
MODEL_CODE = ("torch", "transformers", "tokenizers", "transformers.models.bert")
OTHER = ("datasets", "huggingface_hub", "matplotlib", "sklearn", "wandb", "submitit", "joblib")


def test_a_run_whose_features_are_stored_imports_no_model_code(
    run_main: Callable[..., Ended], files: list[str], tmp_path: Path
) -> None:
    files = [*files, "runtime.device=cpu"]  # a build of torch for GPUs is asked which there are
    assert run_main(run.main, *files, "pooling=mean", "hydra.run.dir=first").status == 0
    code = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {MODULES}"]
    done = subprocess.run(
        [*code, *files, "pooling=pooler", "hydra.run.dir=second"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cache" in done.stdout and "hit" in done.stdout
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "src.features.extractor" in imported and not imported.intersection((*MODEL_CODE, *OTHER))


def test_a_model_is_loaded_while_the_garbage_collector_pauses(monkeypatch: pytest.MonkeyPatch, bert: Path) -> None:
    seen = []

    def encoder(checkpoint: Checkpoint, options: EncodingOptions) -> None:
        seen.append(gc.isenabled())

    monkeypatch.setattr(loading, "Encoder", encoder)
    monkeypatch.setattr(loading, "_kept", {})
    loading.load_encoder(find_checkpoint(ModelConfig(path=str(bert))), EncodingOptions())
    assert seen == [False] and gc.isenabled()
