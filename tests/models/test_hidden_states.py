"""Models whose hidden states cannot be pooled are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from src.errors import UserError
from src.models.encoder import Encoder
from src.models.options import EncodingOptions
from tests.helpers.checkpoints import (
    open_checkpoint,
)


def test_other_architectures_are_refused_with_the_reason(make_checkpoint: Any, vocabulary: list[str]) -> None:
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    words = {"vocab_size": len(vocabulary)}
    shrinking = {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32}
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "Funnel": ({**words, **shrinking}, "hidden states"),
        "Bros": ({**words, **sizes}, "bbox"),
        "FNet": ({**words, **sizes}, "padding"),
        "ViT": (sizes, "word pieces"),
        "T5": ({**words, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}, "encoder"),
        "Lxmert": (
            {**words, "hidden_size": 16, "num_attention_heads": 2, "l_layers": 1, "x_layers": 1, "r_layers": 1},
            "encoder",
        ),
    }
    for kind, (settings, reason) in kinds.items():
        model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings))
        checkpoint = open_checkpoint(make_checkpoint(model, kind.lower()))
        with pytest.raises(UserError, match=reason) as caught:
            pytest.fail(f"{kind}: {Encoder(checkpoint, EncodingOptions())}")
        assert str(caught.value).count("\n") <= 2
    xlnet = transformers.XLNetModel(transformers.XLNetConfig(**words, d_model=16, n_layer=2, n_head=2, d_inner=32))
    found = Encoder(open_checkpoint(make_checkpoint(xlnet, "xlnet")), EncodingOptions())
    assert found.info.max_length == 32 and torch.is_tensor(found.random_weight)
