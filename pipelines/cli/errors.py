"""Expected errors and exit codes: those of the local AWS, so that a command shows its errors like its own."""

from localaws.errors import (
    CONFLICT,
    ENVIRONMENT,
    NOT_FOUND,
    RUN_FAILED,
    WRONG_USAGE,
    ExpectedError,
    exit_code,
)

__all__ = ["CONFLICT", "ENVIRONMENT", "NOT_FOUND", "RUN_FAILED", "WRONG_USAGE", "ExpectedError", "exit_code"]
