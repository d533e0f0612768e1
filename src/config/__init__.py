"""The config groups as passive dataclasses."""
