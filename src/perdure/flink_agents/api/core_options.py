"""The options of Flink Agents, those of 0.3 and of 0.4."""

from __future__ import annotations

import os
from enum import Enum

from perdure.flink_agents.api.configuration import ConfigOption

__all__ = [
    "AgentConfigOptions",
    "AgentExecutionOptions",
    "ConditionEvaluationFailureStrategy",
    "ErrorHandlingStrategy",
    "EventLogLevel",
    "LoggerType",
    "MemoryEventOptions",
    "ShortTermMemoryTtlUpdate",
    "ShortTermMemoryTtlVisibility",
]


class ErrorHandlingStrategy(Enum):
    """What becomes of a chat whose model fails."""

    __journal_name__ = "perdure:flink_agents.ErrorHandlingStrategy"

    RETRY = "retry"
    FAIL = "fail"
    IGNORE = "ignore"


class ShortTermMemoryTtlUpdate(Enum):
    """What lets the time to live of a value in memory begin anew."""

    __journal_name__ = "perdure:flink_agents.ShortTermMemoryTtlUpdate"

    ON_CREATE_AND_WRITE = "ON_CREATE_AND_WRITE"
    ON_READ_AND_WRITE = "ON_READ_AND_WRITE"


class ShortTermMemoryTtlVisibility(Enum):
    """Whether what has expired is returned; here it never is."""

    __journal_name__ = "perdure:flink_agents.ShortTermMemoryTtlVisibility"

    NEVER_RETURN_EXPIRED = "NEVER_RETURN_EXPIRED"
    RETURN_EXPIRED_IF_NOT_CLEANED_UP = "RETURN_EXPIRED_IF_NOT_CLEANED_UP"


class LoggerType(Enum):
    """Where the event log goes; there is none here."""

    __journal_name__ = "perdure:flink_agents.LoggerType"

    SLF4J = "slf4j"
    FILE = "file"


class EventLogLevel(Enum):
    """What the event log holds; there is none here."""

    __journal_name__ = "perdure:flink_agents.EventLogLevel"

    OFF = "OFF"
    STANDARD = "STANDARD"
    VERBOSE = "VERBOSE"


class ConditionEvaluationFailureStrategy(Enum):
    """What becomes of a condition that cannot be evaluated."""

    __journal_name__ = "perdure:flink_agents.ConditionEvaluationFailureStrategy"

    WARN_AND_SKIP = "WARN_AND_SKIP"
    FAIL = "FAIL"


class AgentConfigOptions:
    """Options of a job; those of the event log, of Kafka and of Fluss mean nothing here."""

    EVENT_LOGGER_TYPE = ConfigOption("eventLoggerType", LoggerType, LoggerType.SLF4J)
    CONDITION_EVALUATION_FAILURE_STRATEGY = ConfigOption(
        "action.trigger-condition.evaluate-failure-strategy",
        ConditionEvaluationFailureStrategy,
        ConditionEvaluationFailureStrategy.WARN_AND_SKIP,
    )
    BASE_LOG_DIR = ConfigOption("baseLogDir", str)
    PRETTY_PRINT = ConfigOption("prettyPrint", bool, False)
    ACTION_STATE_STORE_BACKEND = ConfigOption("actionStateStoreBackend", str)
    KAFKA_BOOTSTRAP_SERVERS = ConfigOption("kafkaBootstrapServers", str, "localhost:9092")
    KAFKA_ACTION_STATE_TOPIC = ConfigOption("kafkaActionStateTopic", str)
    KAFKA_ACTION_STATE_TOPIC_NUM_PARTITIONS = ConfigOption(
        "kafkaActionStateTopicNumPartitions", int, 64
    )
    KAFKA_ACTION_STATE_TOPIC_REPLICATION_FACTOR = ConfigOption(
        "kafkaActionStateTopicReplicationFactor", int, 1
    )
    FLUSS_BOOTSTRAP_SERVERS = ConfigOption("flussBootstrapServers", str, "localhost:9123")
    FLUSS_ACTION_STATE_DATABASE = ConfigOption("flussActionStateDatabase", str, "flink_agents")
    FLUSS_ACTION_STATE_TABLE = ConfigOption("flussActionStateTable", str)
    FLUSS_ACTION_STATE_TABLE_BUCKETS = ConfigOption("flussActionStateTableBuckets", int, 64)
    FLUSS_SECURITY_PROTOCOL = ConfigOption("flussSecurityProtocol", str, "PLAINTEXT")
    FLUSS_SASL_MECHANISM = ConfigOption("flussSaslMechanism", str, "PLAIN")
    FLUSS_SASL_JAAS_CONFIG = ConfigOption("flussSaslJaasConfig", str)
    FLUSS_SASL_USERNAME = ConfigOption("flussSaslUsername", str)
    FLUSS_SASL_PASSWORD = ConfigOption("flussSaslPassword", str)
    JOB_IDENTIFIER = ConfigOption("job-identifier", str)
    EVENT_LOG_LEVEL = ConfigOption("event-log.level", EventLogLevel, EventLogLevel.STANDARD)
    EVENT_LOG_TRACE_ENABLED = ConfigOption("event-log.trace.enabled", bool, False)
    EVENT_LOG_MAX_STRING_LENGTH = ConfigOption("event-log.standard.max-string-length", int, 2000)
    EVENT_LOG_MAX_ARRAY_ELEMENTS = ConfigOption("event-log.standard.max-array-elements", int, 20)
    EVENT_LOG_MAX_DEPTH = ConfigOption("event-log.standard.max-depth", int, 5)
    EVENT_LISTENERS = ConfigOption("event-listeners", list)


class AgentExecutionOptions:
    """Options of how agents are executed."""

    ERROR_HANDLING_STRATEGY = ConfigOption(
        "error-handling-strategy", ErrorHandlingStrategy, ErrorHandlingStrategy.FAIL
    )
    MAX_RETRIES = ConfigOption("max-retries", int, 3)
    RETRY_WAIT_INTERVAL = ConfigOption("retry-wait-interval", int, 1)
    NUM_ASYNC_THREADS = ConfigOption("num-async-threads", int, (os.cpu_count() or 1) * 2)
    CHAT_ASYNC = ConfigOption("chat.async", bool, True)
    AGENT_RUN_BEGIN_EVENT = ConfigOption("agent-run.begin-event", bool, False)
    TOOL_CALL_ASYNC = ConfigOption("tool-call.async", bool, True)
    RAG_ASYNC = ConfigOption("rag.async", bool, True)
    SHORT_TERM_MEMORY_STATE_TTL_MS = ConfigOption("short-term-memory.state-ttl.ms", int, 0)
    SHORT_TERM_MEMORY_STATE_TTL_UPDATE_TYPE = ConfigOption(
        "short-term-memory.state-ttl.update-type",
        ShortTermMemoryTtlUpdate,
        ShortTermMemoryTtlUpdate.ON_READ_AND_WRITE,
    )
    SHORT_TERM_MEMORY_STATE_TTL_VISIBILITY = ConfigOption(
        "short-term-memory.state-ttl.visibility",
        ShortTermMemoryTtlVisibility,
        ShortTermMemoryTtlVisibility.NEVER_RETURN_EXPIRED,
    )
    TOOL_CALL_PARALLELISM = ConfigOption("tool-call.parallelism", int, os.cpu_count() or 1)
    TOOL_CALL_BATCH_TIMEOUT_MS = ConfigOption("tool-call.batch.timeout.ms", int, -1)
    TOOL_CALL_PARALLEL = ConfigOption("tool-call.parallel", bool, True)
    TOOL_CALL_NUM_ASYNC_THREADS = ConfigOption("tool-call.num-async-threads", int)
    TOOL_CALL_BATCH_TIMEOUT = ConfigOption("tool-call.batch.timeout", int)


class MemoryEventOptions:
    """Which memory events are made; those that are for no action are not."""

    MEMORY_GENERATE_EVENT = ConfigOption("memory.generate-event", bool)
    SHORT_TERM_WRITE = ConfigOption("memory.generate-event.short-term-write", bool)
    SHORT_TERM_READ = ConfigOption("memory.generate-event.short-term-read", bool)
    SENSORY_WRITE = ConfigOption("memory.generate-event.sensory-write", bool)
    SENSORY_READ = ConfigOption("memory.generate-event.sensory-read", bool)
    LONG_TERM_UPDATE = ConfigOption("memory.generate-event.long-term-update", bool)
    LONG_TERM_GET = ConfigOption("memory.generate-event.long-term-get", bool)
    LONG_TERM_SEARCH = ConfigOption("memory.generate-event.long-term-search", bool)
