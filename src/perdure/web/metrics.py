"""Prometheus' view of a job: its figures as families, and the route that answers with them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.requests import Request
from starlette.responses import Response

from perdure.engine.figures import Distribution, Figures, OwnMetric
from perdure.printable import printable
from perdure.web.metric_names import METRICS, OWN
from perdure.web.openapi import VERSION
from perdure.web.problems import Problem
from perdure.web.service import service_of

__all__ = ["JobCollector", "metrics"]

MOST_OWN: Final = 1_000  # metrics of the agent's own that are shown
_LONGEST: Final = 200  # characters of a label's value, and of a name
_STRANGE = re.compile(r"[^a-zA-Z0-9_]")

Values = Iterable[tuple[Sequence[str], float]]


async def metrics(request: Request) -> Response:
    """Answer with the job's figures, in the format of Prometheus or OpenMetrics."""
    service = service_of(request)
    if service.served is None:
        raise Problem(
            404, "only the process that runs the job measures it: scrape /metrics of"
            " `perdure serve`, or of perdure.web.app(job)",
        )  # fmt: skip
    registry = CollectorRegistry(auto_describe=False)
    registry.register(JobCollector(service.served.figures))
    encode, media_type = _encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": media_type})


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes figures in the format that a client asks for, and its name."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none
        return generate_latest, CONTENT_TYPE_PLAIN_0_0_4


class JobCollector(Collector):
    """Collects what there is to say of a job when it is asked: no figure is kept twice.

    Args:
        figures: returns them as of now.
    """

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        """Tell of no family: the registry has no other collector."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the families of metrics, each with its values by now."""
        figures = self._figures()
        own, left_out = _own_families(figures.own)
        yield from _runs(figures)
        yield from _calls(figures)
        yield from _room(figures)
        yield from _models(figures)
        yield _family("perdure_user_metrics_left_out", [((), left_out)])
        yield from own


def _runs(figures: Figures) -> Iterator[Metric]:
    agent, progress = figures.agent, figures.progress
    waiting = progress.waiting - progress.delayed
    yield _family("perdure_job_info", [((figures.job, agent, VERSION), 1)])
    yield _family(
        "perdure_runs",
        [((agent, "in_flight"), progress.in_flight), ((agent, "waiting"), waiting),
         ((agent, "delayed"), progress.delayed), ((agent, "queued"), progress.queued)],
    )  # fmt: skip
    yield _family(
        "perdure_runs_ended_total",
        [((agent, "completed"), progress.completed), ((agent, "failed"), progress.failed),
         ((agent, "cancelled"), progress.cancelled)],
    )  # fmt: skip
    yield _family("perdure_runs_retried_total", [((), progress.retries)])
    yield _family("perdure_inputs_total", [((), progress.inputs)])
    yield _family("perdure_outputs_total", [((), progress.outputs)])
    yield _family("perdure_waits", _by_name(figures.waits))


def _calls(figures: Figures) -> Iterator[Metric]:
    functions, counters = figures.measures.functions.items(), figures.counters
    states = dict(figures.now.calls_by_state)
    committing = states.pop("committing", 0)
    named = {state.replace(" ", "_"): count for state, count in states.items()}
    none = dict.fromkeys(("queued", "limited", "running", "backing_off", "recording"), 0)
    returned = [((name, "returned"), each.returned) for name, each in functions]
    raised = [((name, "raised"), each.raised) for name, each in functions]
    yield _family("perdure_calls_total", [*returned, *raised])
    yield _histograms("perdure_call_seconds", (((name,), each.seconds) for name, each in functions))
    waits = figures.measures.waits.items()
    yield _histograms("perdure_call_wait_seconds", (((name,), each) for name, each in waits))
    yield _family("perdure_calls_in_progress", _by_name({**none, **named}))
    yield _family("perdure_calls_uncommitted", [((), committing)])
    yield _family("perdure_call_attempts_total", [((), counters.calls_made)])
    yield _family("perdure_call_retries_total", [((), counters.call_retries)])
    yield _family("perdure_calls_replayed_total", [((), counters.calls_replayed)])
    yield _family("perdure_divergences_total", [((), counters.divergences)])
    yield _family("perdure_late_results_total", [((), counters.late_results)])


def _room(figures: Figures) -> Iterator[Metric]:
    pool, limits = figures.now.pool, figures.now.limits
    yield _family("perdure_pool_size", [((), pool.size)])
    yield _family(
        "perdure_pool_threads",
        [(("executing",), pool.executing), (("abandoned",), pool.abandoned)],
    )
    yield _family("perdure_pool_queue", [((), pool.waiting)])
    running = {name: usage.running for name, usage in limits.items()}
    queue = {name: usage.waiting for name, usage in limits.items()}
    yield _family("perdure_limit_running", _by_name(running))
    yield _family("perdure_limit_queue", _by_name(queue))
    yield _histograms("perdure_commit_rows", [((), figures.measures.commit_rows)])
    yield _histograms("perdure_commit_seconds", [((), figures.measures.commit_seconds)])
    yield _family("perdure_store_writes", [((), float(figures.now.store_writes))])


def _models(figures: Figures) -> Iterator[Metric]:
    models = figures.measures.models.items()
    yield _family("perdure_model_requests_total", [((n,), each.requests) for n, each in models])
    tokens = [((name, "input"), each.input_tokens) for name, each in models]
    tokens += [((name, "output"), each.output_tokens) for name, each in models]
    yield _family("perdure_model_tokens_total", tokens)
    yield _family("perdure_model_cost_usd_total", [((name,), each.cost) for name, each in models])


def _by_name(values: Mapping[str, float]) -> Values:
    return [((name,), value) for name, value in values.items()]


def _family(name: str, values: Values) -> Metric:
    """Return the family of a documented counter or gauge."""
    metric = METRICS[name]
    make: Any = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: Metric = make(name, metric.text, labels=metric.labels)
    return _filled(family, values)


def _filled(family: Any, values: Values) -> Metric:
    """Put values into a family; what two of them are called alike is said once, summed up."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in values:
        shown = tuple(map(_label, labels))
        found[shown] = found.get(shown, 0) + value
    for shown, value in found.items():
        family.add_metric(shown, value)
    return family  # type: ignore[no-any-return]


def _histograms(name: str, values: Iterable[tuple[Sequence[str], Distribution]]) -> Metric:
    """Return the family of a documented histogram."""
    metric = METRICS[name]
    family = HistogramMetricFamily(name, metric.text, labels=metric.labels)
    for labels, each in values:
        bounds = [*map(floatToGoString, each.bounds), "+Inf"]
        counts = itertools.accumulate(each.counts)
        family.add_metric([*map(_label, labels)], [*zip(bounds, counts, strict=True)], each.total)
    return family


def _label(value: str) -> str:
    """Return a label's value: in one line, and of a length that is kept."""
    return printable(value[:_LONGEST])


# The agent's own metrics


def _own_families(own: Sequence[OwnMetric]) -> tuple[list[Metric], int]:
    """Return the families of the agent's own metrics, and how many are left out."""
    families: dict[str, Any] = {}
    taken = dict.fromkeys(METRICS, "")  # the families that names of samples belong to
    seen: set[tuple[str, str]] = set()
    shown = 0
    for each in own:
        values = _numbers(each.values)
        if values is None or shown == MOST_OWN:
            continue
        group = _label(".".join(each.groups))
        for number in itertools.count(1):
            name = _own_name(each, number)
            samples = [name + end for end in _ENDS[each.kind]]
            mine = f"{each.kind} {name}"
            is_free = all(taken.get(sample, mine) == mine for sample in samples)
            if is_free and (name, group) not in seen:
                break
        taken.update(dict.fromkeys(samples, mine))
        seen.add((name, group))
        shown += 1
        _add_own(families, name, each.kind, group, values)
    return list(families.values()), len(own) - shown


# What the names of a family's samples end with.
_ENDS: Final = {
    "counter": ("_total", ""),
    "gauge": ("",),
    "summary": ("", "_count", "_sum", "_min", "_max"),
}


def _own_name(metric: OwnMetric, number: int) -> str:
    """Return the name of an own metric; another where one is taken."""
    name = _STRANGE.sub("_", metric.name[:_LONGEST])
    if metric.kind == "counter":
        name = name.removesuffix("_total")
    return f"{OWN}_{name}" if number == 1 else f"{OWN}_{name}_{number}"


def _add_own(
    families: dict[str, Any], name: str, kind: str, group: str, values: Sequence[float]
) -> None:
    def family(name: str, make: Any) -> Any:
        if name not in families:
            text = "a metric of the agent's own, of its group"
            families[name] = make(name, text, labels=("group",))
        return families[name]

    if kind == "summary":
        count, total, least, most = values
        family(name, SummaryMetricFamily).add_metric([group], count, total)
        family(f"{name}_min", GaugeMetricFamily).add_metric([group], least)
        family(f"{name}_max", GaugeMetricFamily).add_metric([group], most)
    else:
        make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        family(name, make).add_metric([group], values[0])


def _numbers(values: Sequence[object]) -> list[float] | None:
    """Return numbers as Prometheus has them; None where one is none: agents may set anything."""
    try:
        return [float(value) for value in values]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
