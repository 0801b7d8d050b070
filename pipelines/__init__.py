"""The MLOps project's commands and what they are made of."""

# Refuses an old interpreter, before a module that it cannot read.
import localaws  # noqa: F401
