"""The names of `/metrics`: what docs/metrics.md has a table of, and what they are exposed by."""

from __future__ import annotations

import dataclasses
from typing import Final

__all__ = ["METRICS", "OWN", "Metric"]

OWN: Final = "perdure_user"  # what the names of an agent's own metrics begin with


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A metric that perdure exposes.

    Attributes:
        name: its name; a counter's ends with `_total`.
        kind: "counter", "gauge" or "histogram".
        labels: names of its labels.
        text: what it says, for people.
    """

    __journal_name__ = "perdure:WebMetric"

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"{name}_total", "counter", labels, text)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", labels, text)


def _histogram(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "histogram", labels, text)


_ALL: Final = (
    _gauge("perdure_job_info", "1; its labels say which job this is, and of which perdure",
           "job", "agent", "version"),
    _gauge("perdure_runs", "runs that are not finished, by `state`: in_flight, waiting for time or"
           " a signal, delayed until later, queued behind runs that wait", "agent", "state"),
    _counter("perdure_runs_ended", "runs that came to their end, by `status`: completed, failed,"
             " cancelled", "agent", "status"),
    _counter("perdure_runs_retried", "runs that were put back into their keys' queues"),
    _counter("perdure_inputs", "inputs that were admitted, or were known from before"),
    _counter("perdure_outputs", "outputs of runs"),
    _gauge("perdure_waits", "what runs wait for from outside, by `kind`: approval by a person, or"
           " signal", "kind"),
    _counter("perdure_calls", "durable calls that have an outcome, by `outcome`: returned, raised"
             " after the last attempt", "function", "outcome"),
    _histogram("perdure_call_seconds", "how long the last attempt of a call took, from when it"
               " began to execute", "function"),
    _histogram("perdure_call_wait_seconds", "how long a call waited, `for` a thread, a limit, or"
               " its retries; calls that did not wait for a millisecond are left out", "for"),
    _gauge("perdure_calls_in_progress", "calls under way, by `state`: queued for a thread, limited,"
           " running, backing_off, recording what must be durable before", "state"),
    _gauge("perdure_calls_uncommitted", "calls that were executed and are not committed yet: a"
           " crash now makes these again"),
    _counter("perdure_call_attempts", "attempts of calls that began"),
    _counter("perdure_call_retries", "attempts that failed and have another after them"),
    _counter("perdure_calls_replayed", "outcomes that a journal gave instead of a call"),
    _counter("perdure_divergences", "actions that did something else on replay than their journal"
             " says"),
    _counter("perdure_late_results", "results that came after their calls had timed out or were"
             " cancelled"),
    _gauge("perdure_pool_size", "threads that plain functions may execute on at one time"),
    _gauge("perdure_pool_threads", "threads of the pool, by `state`: executing, or abandoned: they"
           " hang in calls that nobody waits for", "state"),
    _gauge("perdure_pool_queue", "calls that wait for a thread"),
    _gauge("perdure_limit_running", "attempts that run under a limit", "limit"),
    _gauge("perdure_limit_queue", "attempts that a limit holds back", "limit"),
    _histogram("perdure_commit_rows", "rows of a commit"),
    _histogram("perdure_commit_seconds", "how long a commit took"),
    _gauge("perdure_store_writes", "1; 0 while the store does not write, and nothing starts"),
    _counter("perdure_model_requests", "requests that a model answered", "model"),
    _counter("perdure_model_tokens", "tokens of these, by `direction`: input, output",
             "model", "direction"),
    _counter("perdure_model_cost_usd", "US dollars for these, where the price was known", "model"),
    _gauge("perdure_user_metrics_left_out", "metrics of the agent's own that are not shown: they"
           " are no numbers, or too many"),
)  # fmt: skip
METRICS: Final = {each.name: each for each in _ALL}
