"""Errors of AWS's API, as a test compares them."""

from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest


def refusal(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """(code, message) of the error that a call gives."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]
