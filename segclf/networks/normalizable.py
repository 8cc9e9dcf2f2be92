"""Batch norm cannot normalize a single value per channel; its refusal as an error for people."""

from collections.abc import Iterator
from contextlib import contextmanager

from segclf.core.errors import ConfigError


@contextmanager
def normalizable(batch: str, *, where: str, fix: str) -> Iterator[None]:
    """Relay the refusal inside the block.

    Args:
        batch: What was too small, as the subject of a sentence with its verb.
        where: The step of the flow.
        fix: What to set.

    Raises:
        ConfigError: A batch has one value per channel.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Expected more than 1"):
            raise
        raise ConfigError(
            f"{batch} too few values to be normalized.",
            where=where,
            expected="at least two values per channel in every feature map",
            fix=fix,
        ) from error
