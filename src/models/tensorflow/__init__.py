"""Google's original BERT checkpoints, read without TensorFlow.

`checksum`, `wire` and `table` are the formats, `bundle` a checkpoint's tensors by name, `names` which of them is which parameter,
`original` the folder as a whole.
"""
