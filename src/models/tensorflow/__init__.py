"""Read Google's original BERT checkpoints without TensorFlow.

`checksum`, `wire` and `table` read the formats, and `bundle` a checkpoint's tensors by name.
`names` maps them to parameters. `original` loads parameters and tokenizer, `folder` reads a folder.
"""
