"""Reading rows: what comes out of SQLite is checked before anything else sees it (G23).

SQLite keeps any type in any column, so a damaged page, or a hand at the file, gives rows that no
perdure has written. They are refused where they are read, by file, table and row.
"""

from __future__ import annotations

import functools
import operator
import sqlite3
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec

from perdure.codec.compressed import COMPRESSED, decompressed
from perdure.errors import DecodeError, StoreFormatError
from perdure.journal.record import Record, RecordKind, StoredPayload
from perdure.store.base import (
    NUMBER_BITS,
    PAYLOAD_FIELDS,
    CollectionInfo,
    Command,
    JobRow,
    KeyRow,
    LifeRow,
    MemoryRow,
    RunRow,
    SinkRow,
    StoredOutput,
    WaitRow,
)
from perdure.store.damage import damaged
from perdure.store.documents import DocumentRow
from perdure.store.files import BadLineRow, FileRow
from perdure.store.sqlite.file import CHUNK, translate
from perdure.store.sqlite.starts import apart

R = TypeVar("R", bound=tuple[Any, ...])

_beginning = operator.itemgetter(slice(len(COMPRESSED)))  # of a payload
_PAYLOAD = bytes | None  # the type of a further column that is a payload
ANY = range(2**63)  # numbers of a field that may be any
COMPLETED = FINAL = 4  # this status and above are final
STATUSES = range(1, 7)
_TYPE_NAMES = {
    int: "a number",
    str: "text",
    bytes: "bytes",
    float: "a fraction",
    type(None): "NULL",
}


class Rows(Generic[R]):
    """Rows of one kind, as a statement gives them.

    Args:
        table: where they are kept, for messages.
        kind: what they are made.
        more: types of further columns behind those of the kind; `_PAYLOAD` is one.
        name: says which row one is; what is damaged may be what it is named by.
        wrong: says what is wrong in a row whose types are right; "" where nothing is.
        within: the numbers that a field may be, by its name.
    """

    def __init__(
        self,
        table: str,
        kind: type[R],
        name: Callable[[Sequence[Any]], str],
        wrong: Callable[[R], str] | None = None,
        more: tuple[Any, ...] = (),
        within: Mapping[str, range] | None = None,
    ) -> None:
        hints = typing.get_type_hints(kind)
        fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
        types = [_types(hints[field]) for field in fields] + [_types(each) for each in more]
        self.table = table
        self._kind = kind
        self._name = name
        self._wrong = wrong
        self._width = len(fields)
        self._types = types
        self._fields = (*fields, *(f"column {n}" for n in range(len(fields) + 1, len(types) + 1)))
        self._allowed = [frozenset(each) for each in types]
        known = {fields.index(field): numbers for field, numbers in (within or {}).items()}
        self._numbers = {
            index: known.get(index, ANY) for index, each in enumerate(types) if each == (int,)
        }
        payloads = map(fields.index, _FIELDS.get(kind, ()))  # may be compressed
        further = (len(fields) + n for n, each in enumerate(more) if each == _PAYLOAD)
        self._payloads = (*payloads, *further)

    @functools.cached_property
    def _listed(self) -> Any:
        """What rows have to be, for msgspec, which looks at all of them in one go.

        Made when the first are read: a job reads a few kinds of rows as a rule.
        """
        forms: list[Any] = [functools.reduce(operator.or_, each) for each in self._types]
        for index, numbers in self._numbers.items():
            most = numbers.stop - 1 if numbers is not ANY else None
            forms[index] = Annotated[int, msgspec.Meta(ge=numbers.start, le=most)]
        return list[tuple[tuple(forms)]]  # type: ignore[misc]

    def checked(self, store: object, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return rows as they were found, what is compressed as it was before.

        Args:
            store: for messages.
            found: what a statement gave.

        Raises:
            StoreFormatError: one is not as it can have been written.
        """
        return found if self._are_sound(found) else self._one_by_one(store, found)

    def _are_sound(self, found: list[tuple[Any, ...]]) -> bool:
        """Say whether all rows are as they should be, and have nothing to be decompressed."""
        try:
            # Bytes are bytes there, and no text that stands for them.
            msgspec.convert(found, self._listed, builtin_types=(bytes,))
        except msgspec.ValidationError:
            return False
        for index in self._payloads:
            payloads = filter(None, map(operator.itemgetter(index), found))
            if COMPRESSED in map(_beginning, payloads):
                return False
        wrong, row_of = self._wrong, self._row
        return wrong is None or not any(wrong(row_of(values)) for values in found)

    def _row(self, values: Sequence[Any]) -> R:
        return tuple.__new__(self._kind, values[: self._width])

    def _one_by_one(self, store: object, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        rows = []
        for values in found:
            if any(type(v) not in each for v, each in zip(values, self._allowed, strict=True)):
                raise self.damaged(store, values, self._mistyped(values))
            for index, numbers in self._numbers.items():
                if values[index] not in numbers:
                    what = f"{self._fields[index]} is {values[index]}"
                    raise self.damaged(store, values, what)
            for index in self._payloads:
                if (payload := values[index]) is not None and payload.startswith(COMPRESSED):
                    values = self._decompressed(store, values, index)
            if self._wrong is not None and (wrong := self._wrong(self._row(values))):
                raise self.damaged(store, values, wrong)
            rows.append(values)
        return rows

    def values(
        self, db: sqlite3.Connection, store: object, sql: str, bound: Any = ()
    ) -> list[tuple[Any, ...]]:
        """Return what a statement gives, checked.

        Raises:
            StoreFormatError: the file is damaged there.
            StoreError: it cannot be read.
        """
        try:
            found = db.execute(sql, bound).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._explained(db, store, sql, bound, error) from error
        return self.checked(store, found)

    def values_many(
        self,
        db: sqlite3.Connection,
        store: object,
        sql: str,
        many: Collection[Any],
        *before: Any,
    ) -> list[tuple[Any, ...]]:
        """Do what `values` does, with `many` bound in chunks to `:many`, behind `before`."""
        found: list[tuple[Any, ...]] = []
        listed = list(many)
        for start in range(0, len(listed), CHUNK):
            chunk = listed[start : start + CHUNK]
            statement = sql.replace(":many", ",".join("?" * len(chunk)))
            found += self.values(db, store, statement, (*before, *chunk))
        return found

    def apart(self, values: tuple[Any, ...]) -> tuple[R, tuple[Any, ...]]:
        """Return a row, and its further columns."""
        return self._row(values), values[self._width :]

    def read(
        self, db: sqlite3.Connection, store: object, sql: str, bound: Any = ()
    ) -> list[tuple[R, Any]]:
        """Do what `values` does; return rows with their further columns."""
        return [self.apart(each) for each in self.values(db, store, sql, bound)]

    def read_many(
        self, db: sqlite3.Connection, store: object, sql: str, many: Collection[Any], *before: Any
    ) -> list[tuple[R, Any]]:
        """Do what `values_many` does; return rows with their further columns."""
        return [self.apart(each) for each in self.values_many(db, store, sql, many, *before)]

    def plain(self, db: sqlite3.Connection, store: object, sql: str, bound: Any = ()) -> list[R]:
        """Do what `values` does; return the rows alone."""
        return [self._row(each) for each in self.values(db, store, sql, bound)]

    def damaged(self, store: object, row: Sequence[Any], what: object) -> StoreFormatError:
        """Return the error that names a row."""
        try:
            name = self._name(row)
        except Exception:
            name = f"a row ({row[0]!r:.40})"
        return damaged(store, f"table {self.table}, {name}", what)

    def _decompressed(self, store: object, values: tuple[Any, ...], index: int) -> tuple[Any, ...]:
        try:
            return (*values[:index], decompressed(values[index]), *values[index + 1 :])
        except DecodeError as error:
            what = f"{self._fields[index]}: {error}"
            raise self.damaged(store, values, what) from error

    def _mistyped(self, values: Sequence[Any]) -> str:
        for field, allowed, value in zip(self._fields, self._types, values, strict=True):
            if type(value) not in allowed:
                wanted = " or ".join(_TYPE_NAMES[each] for each in allowed)
                return f"{field} is {_TYPE_NAMES[type(value)]}, not {wanted}"
        return "its columns do not fit"

    def _explained(
        self, db: sqlite3.Connection, store: object, sql: str, values: Any, error: Exception
    ) -> Exception:
        """Return what an error of SQLite means; text that is no UTF-8 is looked for."""
        if "decode to UTF-8" in str(error):
            for row in _undecoded(db, sql, values):
                for field, value in zip(self._fields, row, strict=False):
                    if isinstance(value, _Undecodable):
                        return self.damaged(store, row, f"{field} is no UTF-8 text")
            return damaged(store, f"table {self.table}", "it has text that is no UTF-8")
        meant = translate(error, store)
        if isinstance(meant, StoreFormatError):
            return damaged(store, f"table {self.table}", error)
        return meant


class _Input(NamedTuple):
    """An input that was admitted: what `inputs` reads.

    Attributes:
        last: number of its job's last run; None where it has none.
    """

    id: str | int
    run: int
    digest: bytes
    job: int
    last: int | None


class BadPosition(NamedTuple):
    """Where an input was passed over: what `bad_positions` reads."""

    source: str
    position: int


class _Undecodable(bytes):
    """Text of a row that is no UTF-8."""


def _undecoded(db: sqlite3.Connection, sql: str, values: Any) -> list[Any]:
    """Return the rows of a statement, text that is no UTF-8 as bytes."""

    def text(data: bytes) -> str | bytes:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return _Undecodable(data)

    before, db.text_factory = db.text_factory, text
    try:
        return db.execute(sql, values).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        return []
    finally:
        db.text_factory = before


class Payload(NamedTuple):
    """The payload of a record, and where it belongs."""

    run: int
    event: int
    action: str
    payload: bytes


class End(NamedTuple):
    """The COMPLETED of a run's last action, in the row of an output (`ends`).

    Attributes:
        end_behind: number of the newest record that came before it.
        number: that of the output.
        finished_at: when the run ended.
        before: how many records of its run came before it.
    """

    run: int
    end_event: int
    end_action: str
    end_n: int
    end_payload: bytes
    end_behind: int
    number: int
    finished_at: int
    before: int


_FIELDS = PAYLOAD_FIELDS | {Payload: ("payload",), End: ("end_payload",)}


def _types(hint: Any) -> tuple[type, ...]:
    if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union:
        return typing.get_args(hint)
    return (hint,)


# Which row it is


def short_id(number: int) -> str:
    """Return the id that people know a run by."""
    return f"r{number & ((1 << NUMBER_BITS) - 1):x}"


def _of_run(row: Sequence[Any]) -> str:
    return f"run {short_id(row[0])}"


def _of_record(row: Sequence[Any]) -> str:
    action = f", action {row[2]!r:.60} on event {row[1]!r:.20}" if row[2] else ""
    return f"a record of run {short_id(row[0])}{action}"


def _of_wait(row: Sequence[Any]) -> str:
    return f"wait {row[3]!r:.20} of action {row[2]!r:.60}, run {short_id(row[0])}"


def _of_first(row: Sequence[Any]) -> str:
    return f"row {row[0]!r:.60}"


_WIDTH = len(Record._fields)
_record_of: Callable[[tuple[Any, ...]], Record] = functools.partial(tuple.__new__, Record)
_NOTHING_MORE = ((None, None), (None, None, None))  # no START inside, nothing left in the store


def records_in(store: object, found: Sequence[tuple[Any, ...]]) -> Iterator[Record]:
    """Give the records that rows stand for, a payload that is left in the store by its number.

    Raises:
        StoreFormatError: one is not as it can have been written.
    """
    records = map(_record_of, map(operator.itemgetter(slice(_WIDTH)), found))
    further = map(operator.itemgetter(slice(_WIDTH, None)), found)
    for values, record, more in zip(found, records, further, strict=True):
        if more in _NOTHING_MORE and record.started_at >= 0:
            yield record
            continue
        start_at, start_n, *left = more
        if left and left[0] is not None:
            record = record._replace(payload=StoredPayload(b"%d" % left[0]))
        try:
            yield from apart(record, start_at, start_n)
        except ValueError as error:
            raise RECORDS.damaged(store, values, error) from error


# What is wrong in one whose types are right


def _wrong_run(row: RunRow) -> str:
    if row.run >> NUMBER_BITS != row.job or row.key >> NUMBER_BITS != row.job:
        return f"run {row.run}, key {row.key} and job {row.job} do not belong together"
    return ""


def _wrong_key(row: KeyRow) -> str:
    if row.key >> NUMBER_BITS != row.job:
        return f"key {row.key} is none of job {row.job}"
    return "" if row.digest else "digest is empty"


def _wrong_end(row: End) -> str:
    if not row.end_action:
        return "end_action is empty"
    return "" if row.end_payload or row.number == 1 else "end_payload is empty"


def _wrong_input(row: _Input) -> str:
    if row.run >> NUMBER_BITS != row.job:
        return f"run {row.run} is none of job {row.job}"
    if row.last is None or row.run > row.last:
        return f"run {short_id(row.run)} is not there: it is beyond the last of job {row.job}"
    return ""


_STATUS = {"status": STATUSES}
_KIND = {
    "kind": range(min(RecordKind), max(RecordKind) + 1),
    "started_at": range(-(2**63), 2**63),  # see `starts`
}
_DELIVERED = {"delivered": range(2)}

JOBS = Rows("job", JobRow, _of_first, more=(str,))  # with its stored name
RUNS = Rows("run", RunRow, _of_run, _wrong_run, within=_STATUS)
HEADS = Rows("run", RunRow, _of_run, _wrong_run, more=(bytes, _PAYLOAD), within=_STATUS)
_START = (int | None, int | None)
RECORDS = Rows("record", Record, _of_record, more=_START, within=_KIND)
# With the number of those whose payload is left in the store.
RECORDS_WITH_LEFT = Rows("record", Record, _of_record, more=(*_START, int | None), within=_KIND)
PAYLOADS = Rows("record", Payload, _of_record)
KEYS = Rows("key", KeyRow, _of_first, _wrong_key)
MEMORY = Rows("memory", MemoryRow, lambda row: f"path {row[1]!r:.60} of key {row[0]!r:.30}")
OUTPUTS = Rows(
    "output", StoredOutput, lambda row: f"output {row[1]!r:.20} of run {short_id(row[0])}",
    more=(int,), within=_DELIVERED,
)  # fmt: skip
ENDS = Rows(
    "output", End, lambda row: f"output {row[6]!r:.20} of run {short_id(row[0])}", _wrong_end
)
INPUTS = Rows("input", _Input, lambda row: f"id {row[0]!r:.60}", _wrong_input)
SINKS = Rows("sink", SinkRow, lambda row: f"sink {row[1]!r:.60}")
COMMANDS = Rows("command", Command, _of_first)
LIVES = Rows("life", LifeRow, _of_first)
WAITS = Rows("wait", WaitRow, _of_wait)
FILES = Rows("file", FileRow, lambda row: f"{row[1]!r:.20} {row[2]!r:.60}")
BAD_LINES = Rows("bad_line", BadLineRow, lambda row: f"{row[1]!r:.60}, position {row[2]!r:.30}")
BAD_POSITIONS = Rows(
    "bad_line", BadPosition, lambda row: f"{row[0]!r:.60}, position {row[1]!r:.30}"
)
DOCUMENTS = Rows(
    "document", DocumentRow, lambda row: f"{row[2]!r:.60} of {row[1]!r:.60}", more=(int,)
)  # fmt: skip
COLLECTIONS = Rows("document", CollectionInfo, _of_first)
