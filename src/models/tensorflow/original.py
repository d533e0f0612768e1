"""Load the parameters and the tokenizer of an original TensorFlow BERT."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.models.tensorflow.bundle import Bundle
from src.models.tensorflow.names import HEADS, ParameterSource

if TYPE_CHECKING:
    from torch import Tensor

READERS = 4  # threads that read, check and transpose tensors


@dataclass(frozen=True)
class OriginalBert:
    """An original TensorFlow checkpoint of BERT.

    Attributes
    ----------
    bundle : Bundle
        The checkpoint's variables.
    sources : mapping of str to ParameterSource
        The variable of each parameter, by transformers' name of the parameter.
    vocabulary : mapping of str to int
        Number of each word piece.
    do_lower_case : bool
    max_length : int
        Word pieces.
    """

    bundle: Bundle
    sources: Mapping[str, ParameterSource]
    vocabulary: Mapping[str, int]
    do_lower_case: bool
    max_length: int

    def parameters(self, *, heads: bool = False) -> dict[str, Tensor]:
        """Return BertModel's parameters by transformers' names, or those of its heads (``cls.``).

        Raises
        ------
        UserError
            A variable is damaged, or not a whole float32 one.
        """
        import torch

        def load(name: str) -> Tensor:
            source = self.sources[name]
            return torch.from_numpy(source.convert(self.bundle.read(source.variable)))

        names = [name for name in self.sources if (name in HEADS) == heads]
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(names, pool.map(load, names), strict=True))

    def evidence(self, hidden_act: str) -> dict[str, Any]:
        """Return the evidence that the record states beside the pooler's: which activation is used."""
        google = "gelu_pytorch_tanh"
        note = f"{hidden_act}, as chosen or as the configuration says"
        if hidden_act == "gelu":
            note = (
                "gelu, by the error function, as Hugging Face reads bert_config.json; Google's own code has "
                f"computed {google} under this "
                "name since 2019-02-07 (google-research/bert, bee6030), so that TF-Hub's vectors differ slightly: "
                f"model.hidden_act={google} gives those"
            )
        elif hidden_act in (google, "gelu_new"):
            note = (
                f"{hidden_act}, which Google's own code has computed since 2019-02-07; "
                "Hugging Face's reading of bert_config.json is gelu"
            )
        return {"activation": note}

    def tokenizer(self) -> Any:
        """Return a fast WordPiece tokenizer with BERT's normaliser and this vocabulary."""
        from transformers import BertTokenizer

        return BertTokenizer(
            vocab=dict(self.vocabulary), do_lower_case=self.do_lower_case, model_max_length=self.max_length
        )
