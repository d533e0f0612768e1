"""Commands of the suite as one: linear probes on frozen BERT features.

usage: probes COMMAND [group=option ...] [key=value ...]
       probes COMMAND --help

Each command is also a module: `probes run` is `python -m src.run`.
Completion in bash: eval "$(probes -sc install=bash)"
"""

from __future__ import annotations

import os
import sys
from importlib import import_module, metadata

from src.cli.messages import exit_on_error, exit_with_error, print_text
from src.cli.streams import configure_process
from src.errors import mask
from src.registry import unknown

# Command: its module, and what it does.
COMMANDS = {
    "run": ("src.run", "one run or, with -m, a sweep"),
    "extract": ("src.extract", "write the pooled features themselves"),
    "predict": ("src.predict", "apply the probe of a run to new rows"),
    "report": ("experiments.report.__main__", "write the page about a sweep: which pooling to use, and why"),
    "export": ("experiments.export", "write a run's encoder and pooling as a sentence-transformers folder"),
    "paper": ("experiments.paper.__main__", "write every figure and table from the committed records"),
    "pretrain": ("experiments.pretrain", "train a small BERT"),
    "convert": ("experiments.convert", "write a TensorFlow checkpoint as a Hugging Face folder"),
    "collect": ("experiments.collect", "put the records of a sweep into a bundle"),
    "dashboard": ("experiments.dashboard", "save a Weights & Biases workspace"),
    "download": ("experiments.download", "fetch the files of runs from Weights & Biases, to compare them here"),
    "benchmark": ("experiments.benchmark", "time the suite beside other libraries"),
    "parity": ("experiments.parity.__main__", "compare the same weights in other systems"),
}
COMPLETION = ("-sc", "--shell-completion")


def main() -> None:
    """Call the command that the first argument names."""
    configure_process()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print_help()
    elif arguments[0] == "--version":
        print_text(f"bert-pooling-probes {metadata.version('bert-pooling-probes')}")
    elif arguments[0] in COMPLETION:
        complete(arguments)
    elif arguments[0].startswith("-"):
        exit_with_error(f"unrecognized arguments: {mask(arguments[0])[:80]}. probes --help lists the commands.", 2)
    else:
        with exit_on_error("stopped."):
            call(arguments[0], arguments[1:])


def call(name: str, arguments: list[str]) -> None:
    """Call a command with arguments; UserError if there is none of this name."""
    if name not in COMMANDS:
        raise unknown("command", mask(name)[:80], COMMANDS)
    sys.argv[1:] = arguments
    import_module(COMMANDS[name][0]).main()


def complete(arguments: list[str]) -> None:
    """Print what Hydra's completion asks for: the shell's function, or the words that can follow in ``COMP_LINE``."""
    words = os.environ.get("COMP_LINE", "").split(" ")
    if not any(word.startswith("query=") for word in arguments):
        call("run", arguments)
    elif len(words) <= 2:
        print_text(" ".join(COMMANDS))
    elif words[1] in ("run", "extract"):
        os.environ["COMP_LINE"] = " ".join([words[0], *words[2:]])
        call(words[1], arguments)


def print_help() -> None:
    """Print the commands."""
    print_text(f"{(__doc__ or '').strip()}\n\nCommands:")
    for name, (_, description) in COMMANDS.items():
        print_text(f"  {name:<10} {description}")


if __name__ == "__main__":
    main()
