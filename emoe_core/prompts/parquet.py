"""Parquet files, through pyarrow where it is installed."""

from pathlib import Path

from ..errors import EMoEError
from .rows import NAMES, Rows, as_text, checked, prompt_column

_BATCH = 4096


def read(path: Path) -> Rows:
    """The prompts of a .parquet file; the number of a row serves as its line."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise EMoEError(
            f"The prompt file '{path}' needs pyarrow, which is not installed; install it or save the prompts as .csv."
        ) from error
    if not path.is_file():
        raise EMoEError(f"The prompt file '{path}' is not there; check the path.")
    try:
        with parquet.ParquetFile(path) as table:
            column = prompt_column(table.schema_arrow.names)
            if column is None:
                raise EMoEError(f"The prompt file '{path}' has no prompt column; name one {NAMES}.")
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH):
                for entry in batch.to_pylist():
                    number += 1
                    prompt = entry.pop(column)
                    rest = {name: as_text(value) for name, value in entry.items() if value is not None}
                    yield number, checked(prompt, rest, column)
    except ArrowException as error:
        raise EMoEError(f"The prompt file '{path}' is not a readable .parquet ({error}).") from error
