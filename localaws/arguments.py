"""Command lines: wrong usage is an expected error of three lines."""

import argparse
from typing import Any

from localaws.errors import WRONG_USAGE, ExpectedError


class Arguments(argparse.ArgumentParser):
    """argparse that raises ExpectedError for wrong usage."""

    def error(self, message: str) -> Any:
        """Raise instead of printing usage and leaving."""
        raise ExpectedError(
            message, where=f"the arguments of {self.prog}", hint=f"{self.prog} --help", code=WRONG_USAGE
        )
