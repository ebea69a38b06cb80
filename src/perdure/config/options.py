"""The options of running an agent, each declared once."""

from __future__ import annotations

import os
import types
from typing import Any, ClassVar, Final

from perdure.call import RetryPolicy
from perdure.checks import LONGEST_SECONDS
from perdure.config.values import ConfigOption

__all__ = ["DEFAULT_VECTOR_STORE", "AgentExecutionOptions", "all_options"]

_CPUS: Final = os.cpu_count() or 1
_RETRY: Final = RetryPolicy()
DEFAULT_VECTOR_STORE: Final = "_long_term_memory"  # of long-term memory, where none is named
_UNSET: Final[Any] = None  # the default of a switch that others decide where it is not set


class AgentExecutionOptions:
    """The options of running an agent."""

    NUM_ASYNC_THREADS: ClassVar = ConfigOption(
        "num-async-threads",
        int,
        2 * _CPUS,
        "Threads for durable calls of plain functions",
        minimum=1,
    )
    MAX_ABANDONED_THREADS: ClassVar = ConfigOption(
        "max-abandoned-threads",
        int,
        -1,
        "Threads more that may hang in calls which timed out; -1 for 4 x num-async-threads",
        minimum=-1,
    )
    MAX_RUNS_IN_FLIGHT: ClassVar = ConfigOption(
        "max-runs-in-flight", int, 4096, "Runs at work at the same time", minimum=1
    )
    MAX_RUNS_QUEUED: ClassVar = ConfigOption(
        "max-runs-queued",
        int,
        1_000_000,
        "Runs queued behind runs of their keys that wait for time or a signal",
        minimum=1,
    )
    CONTINUATIONS: ClassVar = ConfigOption(
        "continuations",
        str,
        "auto",
        "Whether plain actions are suspended without a thread where that is supported",
        choices=("auto", "off"),
    )
    DURABILITY: ClassVar = ConfigOption(
        "durability",
        str,
        "strict",
        "Whether a commit waits for the disk; relaxed may lose the last ones to a power failure",
        choices=("strict", "relaxed"),
    )
    STORE_FILE_MODE: ClassVar = ConfigOption(
        "store-file-mode",
        str,
        "0600",
        "Permissions of the files of a new store, in quotes in YAML; files that exist keep theirs",
        choices=("0600", "0640", "0644", "0660", "0664", "0666"),
    )
    ON_DIVERGENCE: ClassVar = ConfigOption(
        "on-divergence",
        str,
        "fail",
        "What a replay does that leaves its journal",
        choices=("fail", "reexecute"),
    )
    ERROR_HANDLING_STRATEGY: ClassVar = ConfigOption(
        "error-handling-strategy",
        str,
        "dead-letter",
        "What happens to a failed run: it is set aside, tried again, or fails the job",
        choices=("dead-letter", "retry", "fail"),
        aliases=types.MappingProxyType({"ignore": "dead-letter"}),
    )
    MAX_RETRIES: ClassVar = ConfigOption(
        "max-retries", int, 3, "How often the retry strategy tries a run again", minimum=0
    )
    RETRY_WAIT_INTERVAL: ClassVar = ConfigOption(
        "retry-wait-interval",
        float,
        1.0,
        "Seconds before a run is tried again",
        minimum=0,
        maximum=LONGEST_SECONDS,
    )
    ACTION_TRIGGER_CONDITION_EVALUATE_FAILURE_STRATEGY: ClassVar = ConfigOption(
        "action.trigger-condition.evaluate-failure-strategy",
        str,
        "WARN_AND_SKIP",
        "What happens when a condition fails on an event: it counts as not met, or the run fails",
        choices=("WARN_AND_SKIP", "FAIL"),
        aliases=types.MappingProxyType({"warn_and_skip": "WARN_AND_SKIP", "fail": "FAIL"}),
    )
    MAX_PAYLOAD_BYTES: ClassVar = ConfigOption(
        "max-payload-bytes",
        int,
        16 << 20,
        "Bytes that one encoded value may have",
        minimum=1,
        in_bytes=True,
    )
    CHAT_ASYNC: ClassVar = ConfigOption(
        "chat.async", bool, True, "Whether chat requests leave other actions running"
    )
    TOOL_CALL_ASYNC: ClassVar = ConfigOption(
        "tool-call.async", bool, True, "Whether tool calls leave other actions running"
    )
    TOOL_CALL_PARALLELISM: ClassVar = ConfigOption(
        "tool-call.parallelism", int, _CPUS, "Tool calls of one request at the same time", minimum=1
    )
    RAG_ASYNC: ClassVar = ConfigOption(
        "rag.async", bool, True, "Whether context retrieval leaves other actions running"
    )
    LONG_TERM_MEMORY_VECTOR_STORE: ClassVar = ConfigOption(
        "long-term-memory.vector-store",
        str,
        "",
        "Vector store resource that keeps long-term memory; without one the job's own store does",
    )
    LONG_TERM_MEMORY_EMBEDDING_MODEL: ClassVar = ConfigOption(
        "long-term-memory.embedding-model",
        str,
        "",
        "Embedding model resource of the job's own store; without one it is searched by keywords",
    )
    LONG_TERM_MEMORY_CHAT_MODEL: ClassVar = ConfigOption(
        "long-term-memory.chat-model", str, "", "Chat model resource that compacts memory sets"
    )
    SHORT_TERM_MEMORY_STATE_TTL_MS: ClassVar = ConfigOption(
        "short-term-memory.state-ttl.ms",
        int,
        0,
        "Milliseconds that short-term memory lives after it was last touched; 0 for ever",
        minimum=0,
    )
    SHORT_TERM_MEMORY_STATE_TTL_UPDATE_TYPE: ClassVar = ConfigOption(
        "short-term-memory.state-ttl.update-type",
        str,
        "on-read-and-write",
        "What touches short-term memory: writes alone, or reads too",
        choices=("on-read-and-write", "on-create-and-write"),
        aliases=types.MappingProxyType(
            {"ON_READ_AND_WRITE": "on-read-and-write", "ON_CREATE_AND_WRITE": "on-create-and-write"}
        ),
    )
    MEMORY_GENERATE_EVENT: ClassVar = ConfigOption(
        "memory.generate-event", bool, _UNSET, "Whether memory events are made that have no switch"
    )
    MEMORY_GENERATE_EVENT_SHORT_TERM_WRITE: ClassVar = ConfigOption(
        "memory.generate-event.short-term-write",
        bool,
        _UNSET,
        "Whether ShortTermWriteEvents are made; else as `memory.generate-event` says, else yes",
    )
    MEMORY_GENERATE_EVENT_SHORT_TERM_READ: ClassVar = ConfigOption(
        "memory.generate-event.short-term-read",
        bool,
        _UNSET,
        "Whether ShortTermReadEvents are made; else as `memory.generate-event` says, else no",
    )
    MEMORY_GENERATE_EVENT_SENSORY_WRITE: ClassVar = ConfigOption(
        "memory.generate-event.sensory-write",
        bool,
        _UNSET,
        "Whether SensoryWriteEvents are made; else as `memory.generate-event` says, else yes",
    )
    MEMORY_GENERATE_EVENT_SENSORY_READ: ClassVar = ConfigOption(
        "memory.generate-event.sensory-read",
        bool,
        _UNSET,
        "Whether SensoryReadEvents are made; else as `memory.generate-event` says, else no",
    )
    MEMORY_GENERATE_EVENT_LONG_TERM_UPDATE: ClassVar = ConfigOption(
        "memory.generate-event.long-term-update",
        bool,
        _UNSET,
        "Whether LongTermUpdateEvents are made; else as `memory.generate-event` says, else yes",
    )
    MEMORY_GENERATE_EVENT_LONG_TERM_GET: ClassVar = ConfigOption(
        "memory.generate-event.long-term-get",
        bool,
        _UNSET,
        "Whether LongTermGetEvents are made; else as `memory.generate-event` says, else yes",
    )
    MEMORY_GENERATE_EVENT_LONG_TERM_SEARCH: ClassVar = ConfigOption(
        "memory.generate-event.long-term-search",
        bool,
        _UNSET,
        "Whether LongTermSearchEvents are made; else as `memory.generate-event` says, else yes",
    )
    AGENT_RUN_BEGIN_EVENT: ClassVar = ConfigOption(
        "agent-run.begin-event", bool, False, "Whether each run begins with an AgentRunBeginEvent"
    )
    TIMEOUT: ClassVar = ConfigOption(
        "timeout",
        float,
        0.0,
        "Seconds for one attempt of a durable call; 0 for no limit",
        minimum=0,
        maximum=LONGEST_SECONDS,
    )
    RUN_TIMEOUT: ClassVar = ConfigOption(
        "run-timeout",
        float,
        0.0,
        "Seconds from a run's first beginning to its end, restarts included; 0 for no limit",
        minimum=0,
        maximum=LONGEST_SECONDS,
    )
    MAX_CALLS_PER_RUN: ClassVar = ConfigOption(
        "max-calls-per-run",
        int,
        100_000,
        "Durable calls that one run may make, against loops that never end; 0 for no limit",
        minimum=0,
    )
    MAX_FAILURES: ClassVar = ConfigOption(
        "max-failures",
        int,
        0,
        "Failed runs of one process at which the job stops, with an error; 0 for none",
        minimum=0,
    )
    EVENT_LOOP: ClassVar = ConfigOption(
        "event-loop",
        str,
        "auto",
        "Event loop of `LocalEngine.run` and `perdure run`; auto: uvloop where it is installed",
        choices=("auto", "asyncio", "uvloop"),
    )
    GARBAGE_COLLECTOR: ClassVar = ConfigOption(
        "garbage-collector",
        str,
        "tuned",
        "Whether Python's cyclic collector runs less often while a job is open",
        choices=("tuned", "untouched"),
    )
    RETRY_MAX_ATTEMPTS: ClassVar = ConfigOption(
        "retry.max-attempts",
        int,
        1,
        f"Attempts of a durable call, the first included; {_RETRY.max_attempts} if only other "
        "`retry` keys are set",
        minimum=1,
    )
    RETRY_INITIAL_INTERVAL: ClassVar = ConfigOption(
        "retry.initial-interval",
        float,
        _RETRY.initial_interval,
        "Seconds before the second attempt",
        minimum=0,
        maximum=LONGEST_SECONDS,
    )
    RETRY_BACKOFF_COEFFICIENT: ClassVar = ConfigOption(
        "retry.backoff-coefficient",
        float,
        _RETRY.backoff_coefficient,
        "Factor from each interval between attempts to the next",
        minimum=1,
    )
    RETRY_MAX_INTERVAL: ClassVar = ConfigOption(
        "retry.max-interval",
        float,
        _RETRY.max_interval,
        "Longest interval between attempts in seconds, before jitter",
        minimum=0,
        maximum=LONGEST_SECONDS,
    )
    RETRY_JITTER: ClassVar = ConfigOption(
        "retry.jitter",
        float,
        _RETRY.jitter,
        "Share of itself by which each interval is varied, both ways",
        minimum=0,
        maximum=1,
    )
    RETRY_TOTAL_TIMEOUT: ClassVar = ConfigOption(
        "retry.total-timeout",
        float,
        _RETRY.total_timeout or 0.0,
        "Seconds for all attempts together, restarts included; 0 for no limit",
        minimum=0,
        maximum=LONGEST_SECONDS,
    )
    RETRY_COUNT_CRASHES: ClassVar = ConfigOption(
        "retry.count-crashes",
        bool,
        _RETRY.count_crashes,
        "Whether an attempt that ends with its process counts too",
    )


def all_options() -> tuple[ConfigOption[Any], ...]:
    """Return every option, in the order of their declaration."""
    return tuple(
        each for each in vars(AgentExecutionOptions).values() if isinstance(each, ConfigOption)
    )
