"""Datasets that are read and tokenised for fine-tuning."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from experiments.configurations import dataset_config
from experiments.studies.finetuning.batches import TokenRows
from experiments.studies.finetuning.options import Options, Schedule
from src.config.schema import Config, ModelConfig, PoolingConfig, RuntimeConfig
from src.data.checks import check_probe
from src.data.dataset import Dataset
from src.data.splits import RowSplitter
from src.errors import UserError
from src.features.extractor import FeatureExtractor
from src.features.inputs import encoder_inputs
from src.models.restricted_folder import restricted_folder
from src.pipeline.prepare import PreparedRun, open_run
from src.results.result import SCHEMA

HELD_OUT = 0.2  # share of the training rows on which the rate is chosen


@dataclass
class TokenisedDataset:
    """Holds a dataset and its word pieces by role.

    `chosen` are the indices of the training rows in use.
    """

    prepared: PreparedRun
    schedule: Schedule
    roles: dict[str, TokenRows]
    chosen: np.ndarray

    @property
    def data(self) -> Dataset:
        """The dataset as the suite reads it."""
        return self.prepared.data

    @property
    def extractor(self) -> FeatureExtractor:
        """The feature extractor of the checkpoint."""
        return self.prepared.extractor

    @property
    def train(self) -> TokenRows:
        """All training rows."""
        return self.roles["train"]

    @property
    def scored(self) -> list[str]:
        """The roles whose rows are predicted."""
        return [role for role in self.roles if role not in ("train", "development")]

    @cached_property
    def encoder(self) -> Any:
        """The checkpoint's weights in float32, loaded once."""
        folder = restricted_folder(self.extractor.encoder.checkpoint)
        return AutoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )

    def new_encoder(self) -> Any:
        """Return a copy of the encoder with the checkpoint's weights."""
        return copy.deepcopy(self.encoder)

    def holdout_mask(self) -> np.ndarray:
        """Return which of the `chosen` rows are held out to choose the rate, (chosen,) bool.

        Raises
        ------
        UserError
            They are too few to hold any out.
        """
        data = self.data
        return RowSplitter(
            data.train.label[self.chosen],
            0,
            fraction=HELD_OUT,
            groups=data.groups[self.chosen],
            groups_span_classes=data.groups_span_classes,
            regression=not data.classes,
            names=data.classes,
        ).holdout_mask()

    def identity(self) -> dict[str, Any]:
        """Return the resolved values that decide the numbers of every trial on this dataset."""
        checkpoint, facts = self.extractor.checkpoint, self.extractor.info
        encoder = {"model": checkpoint.identity, "tokenizer": checkpoint.tokenizer, "max_length": facts.max_length}
        return {
            "schema": SCHEMA,
            "kind": "finetune",
            "encoder": encoder,
            "schedule": asdict(self.schedule),
            **self.data.identity(),
        }


@cache
def open_dataset(options: Options, name: str) -> TokenisedDataset:
    """Read and tokenise a dataset of conf/dataset; a process does so once.

    Raises
    ------
    UserError
        The dataset is unknown, cannot be read or is scored in folds; or the checkpoint cannot be
        used.
    """
    runtime = options.runtime
    config = Config(
        model=ModelConfig(path=options.model.path),
        dataset=dataset_config(name),
        pooling=PoolingConfig("cls"),
        runtime=RuntimeConfig(
            threads=runtime.threads, cache_dir=runtime.cache_dir, progress=runtime.progress, device="cpu"
        ),
        data_root=options.data_root,
    )
    prepared = open_run(config, check)
    padding = prepared.extractor.checkpoint.config.get("pad_token_id") or 0
    roles = {}
    for role, split in prepared.data.roles.items():
        [text] = encoder_inputs(prepared.data.splits[split], "joint", name)
        tokens = prepared.extractor.tokens(text)
        prepared.extractor.encoder.check_ids(tokens.ids)
        roles[role] = TokenRows(tokens, prepared.data.splits[split].label, padding)
    chosen = np.arange(len(prepared.data.train))
    if options.rows is not None and options.rows < len(chosen):
        chosen = np.sort(np.random.default_rng(0).permutation(len(chosen))[: options.rows])
    return TokenisedDataset(prepared, Schedule(options.epochs, options.batch, options.rows), roles, chosen)


def check(data: Dataset) -> None:
    """Raise UserError if a dataset is scored in folds of its training rows."""
    if data.selection == "nested":
        raise UserError(
            f"{data.name} is scored in folds of train. Name datasets with a test split, such as sst2 or rte."
        )
    check_probe(data)
