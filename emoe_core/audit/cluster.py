"""The audit on several processes or machines: Ray Data, with one actor per worker that holds the experts once.

The driver reads the prompt file and writes the results; prompts wait in Ray's object store, which spills to disk. So the
workers need neither the file nor its prompts, only the model files.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..errors import EMoEError
from ..prompts import PromptRow
from .engine import Clock, Progress, batches, begin, keep
from .plan import AuditPlan
from .scorer import About, ScoredRow
from .source import Source
from .store import Store

_LEAST, _MOST = 32, 256  # prompts per task for a worker; each task has its overhead
_STARTS = 3
_FIELDS = tuple(field.name for field in fields(ScoredRow))


class Worker:
    """Lives in a worker's process."""

    def __init__(self, source: Source) -> None:
        self._scorer = source.scorer()
        self._scorer.about()  # chooses the calibration

    def __call__(self, batch: Any) -> Any:
        """Adds the scores to a table of prompts; both are pyarrow tables."""
        import pyarrow as pa

        prompts: list[str] = batch.column("prompt").to_pylist()
        rows: list[ScoredRow] = []
        for start in range(0, len(prompts), self._scorer.batch_size):
            rows += self._scorer.score(prompts[start : start + self._scorer.batch_size])
        # As JSON, because a column of None throughout would have another type in the next block.
        scores = pa.array([json.dumps(asdict(row)) for row in rows], pa.string())
        return batch.append_column("scores", scores)


def run(
    plan: AuditPlan,
    source: Source,
    folder: str | Path,
    workers: int,
    address: str = "local",
    progress: Progress | None = None,
    retry: bool = False,
) -> Store:
    """Like `engine.run`, with `workers` processes; the store is open, and the caller closes it.

    Args:
        source: each worker makes its scorer from it.
        address: of a Ray cluster, or "local" for one that begins and ends with this call.

    Raises:
        EMoEError: Ray is missing, a worker cannot score, or for the reasons of `engine.run`.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        import pyarrow as pa
        import ray
        from ray.data import ActorPoolStrategy, DataContext, from_arrow_refs
    except ImportError as error:
        raise EMoEError(
            f'The engine ray is not installed ({error}); install it in the pack\'s folder with: pip install ".[ray]".'
        ) from error
    own = not ray.is_initialized()
    if own:
        start(ray, workers, address)
    try:
        DataContext.get_current().enable_progress_bars = False
        about = _ask(ray, source)
        store = begin(plan, about, folder, retry)
        try:
            clock = Clock(store.done(), plan.total, progress)
            size = max(_LEAST, min(_MOST, plan.total // (4 * workers)))
            blocks = [ray.put(_table(pa, block)) for block in batches(plan, store, size)]
            if blocks:
                pool = ActorPoolStrategy(size=workers)
                scored = from_arrow_refs(blocks).map_batches(
                    Worker,
                    fn_constructor_args=(source,),
                    compute=pool,
                    batch_size=size,
                    batch_format="pyarrow",
                    num_cpus=1,
                )
                for table in scored.iter_batches(batch_size=None, batch_format="pyarrow"):
                    done = list(_results(table))
                    keep(store, plan, [row for row, _ in done], [result for _, result in done])
                    clock.ended(len(done))
        except BaseException as error:
            store.close()
            raise _plain(ray, error) from error
        return store
    finally:
        if own:
            ray.shutdown()


def start(ray: Any, workers: int, address: str) -> None:
    """Starts a cluster of this machine, or joins the one at `address`; a start that Ray gives up is tried again."""
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(path for path in (package, os.environ.get("PYTHONPATH", "")) if path)
    carried = {"PYTHONPATH": paths, **{n: os.environ[n] for n in ("COMFYUI_PATH",) if n in os.environ}}
    options: dict[str, Any] = {"runtime_env": {"env_vars": carried}, "log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    for _ in range(_STARTS):
        try:
            ray.init(address=address, **options)
            return
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EMoEError(f"The Ray cluster '{address}' does not answer ({str(error).splitlines()[0]}).") from error
        except Exception as error:  # Ray raises it itself when its processes are not up after half a minute
            ray.shutdown()
            said = str(error).splitlines()[0]
    raise EMoEError(f"Ray did not start in {_STARTS} attempts ({said}); try again when the machine is less busy.")


def _ask(ray: Any, source: Source) -> About:
    """What the scores will depend on. A worker is asked, because the driver has no experts."""
    try:
        about: About = ray.get(ray.remote(num_cpus=1)(_about).remote(source))
    except BaseException as error:
        raise _plain(ray, error) from error
    return about


def _about(source: Source) -> About:
    return source.scorer().about()


def _plain(ray: Any, error: BaseException) -> BaseException:
    """The worker's own sentence, if there is one."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, EMoEError):
            return EMoEError(str(cause).strip().splitlines()[-1].removeprefix("emoe_core.errors.EMoEError: "))
        cause = getattr(cause, "cause", None) or cause.__cause__
    if isinstance(error, ray.exceptions.RayError):
        return EMoEError(f"A Ray worker ended with an error: {str(error).strip().splitlines()[-1]}")
    return error


def _table(pa: Any, block: list[PromptRow]) -> Any:
    return pa.table(
        {
            "row": pa.array([row.row for row in block], pa.int64()),
            "line": pa.array([row.line for row in block], pa.int64()),
            "prompt": pa.array([row.prompt for row in block], pa.string()),
            "columns": pa.array([json.dumps(row.columns, ensure_ascii=False) for row in block], pa.string()),
        }
    )


def _results(table: Any) -> Iterator[tuple[PromptRow, ScoredRow]]:
    for entry in table.to_pylist():
        row = PromptRow(entry["row"], entry["line"], entry["prompt"], json.loads(entry["columns"]))
        found = json.loads(entry["scores"])
        yield row, ScoredRow(**{name: found[name] for name in _FIELDS})
