"""ActionCalls: the durable calls that one action makes, from their numbers to their outcomes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec.structs import replace

from perdure.call import NO_OPTIONS, CallOptions, DurableCall
from perdure.checks import nanoseconds
from perdure.codec.call_identity import CallIdentity
from perdure.codec.copies import own_arguments, own_value
from perdure.codec.error_texts import text_of
from perdure.codec.failure import decode_failure, encode_failure
from perdure.codec.sketch import sign_call
from perdure.errors import (
    ContextAccessError,
    EncodeError,
    NonDeterminismError,
    PerdureError,
)
from perdure.executor.shutdown import ends_process
from perdure.journal.journal import CallStep, Decision, Journal
from perdure.journal.record import Record, RecordKind, StoredPayload
from perdure.runtime.action.attempts import CallAttempts, Callee, LoneAttempt
from perdure.runtime.action.children import (
    OUTPUTS,
    SUBMIT,
    ChildHandle,
    ChildRuns,
    NewChild,
    read_id,
    refuse_own_key,
)
from perdure.runtime.action.reconcilers import check_reconciler, takes_arguments
from perdure.runtime.action.sides import ActionOfParts, CallOver
from perdure.runtime.shared.measures import OTHER
from perdure.runtime.shared.services import FunctionInfo

NO_NUMBERS: frozenset[int] = frozenset()
NEW_CALL = CallStep(0, Decision.RUN)  # of each that the journal knows nothing of, as of most
_RESULT = int(RecordKind.RESULT)  # a global is read in a tenth of the time


class ActionCalls:
    """The calls of one action.

    Owns: the handles of its calls, the attempts under way, the starts put off until replay is
    over, the runs that it starts. Lifecycle: that of the action. On the host loop's thread.
    """

    __slots__ = (
        "_action", "_calls", "_children", "_converters", "_journal", "_measured_as", "_put_off",
        "_run", "_running", "_services", "_submissions",
    )  # fmt: skip

    def __init__(self, action: ActionOfParts, journal: Journal) -> None:
        self._action = action
        self._run = action.run
        self._journal = journal
        self._services = action.run.services
        self._calls: dict[int, DurableCall[Any]] = {}
        self._put_off: dict[int, Callable[[], None]] = {}
        self._submissions: frozenset[int] = NO_NUMBERS  # of those that are put off
        self._running: dict[int, CallAttempts | LoneAttempt] = {}
        self._converters: dict[int, Callable[[Any], Any]] = {}
        self._children: ChildRuns | None = None
        self._measured_as: dict[int, str] | None = None  # calls whose own names no measure may have

    # Making them, in a turn

    def make(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
        inline: bool = False,
        *,
        defaults: bool = True,
    ) -> DurableCall[Any]:
        """Make a durable call: number it, check it against the journal, start it if it is new.

        Args:
            func: what is called.
            args: its positional arguments.
            kwargs: its keyword arguments.
            options: those of this call.
            inline: a plain `func` runs on the host loop's thread.
            defaults: what `options` leaves open is as the function or the configuration says.

        Raises:
            NonDeterminismError: the journal holds another call under its number.
            EncodeError: its arguments or its callable have no stable identity.
            ConfigurationError: its limit is not configured.
            PerdureError: the run makes more calls than it may.
        """
        info = self._services.function(func)
        if defaults and options is NO_OPTIONS:
            options, is_lone = info.options, info.is_lone
        else:
            options = options.over(info.options) if defaults else options
            is_lone = options.is_lone
        if not is_lone:
            self._check(options, args, kwargs)
        function, aliases = options.durable_id, options.durable_aliases
        step, call, template = self._number(
            function or info.name or info.named(), args, kwargs, func=func, parts=info.parts,
            names=aliases if function is None else (function, *aliases),
            reconciled=options.reconciler is not None,
        )  # fmt: skip
        if step is not NEW_CALL:
            if step.decision is Decision.REPLAY:
                return call
            is_lone = is_lone and step.decision is Decision.RUN and step.failed is None
        if function is not None and self._services.measures is not None:
            self._measure_as(call.number, function, func, info)
        # As they are now, whenever it starts: after a replay, or in its turn under a limit.
        own = None if info.shares_arguments else own_arguments(func, args, kwargs)
        given = own or (func, args, kwargs)
        inline = inline and not info.is_coroutine
        if is_lone and (inline or info.is_coroutine) and info.form is None:
            executor = self._services.executor
            self._start_lone(LoneAttempt(*given, self._lone_over, template, executor, inline))
            return call
        is_mutable = own is not None and not info.keeps_arguments
        callee = Callee(*given, info.is_coroutine, inline, is_mutable=is_mutable, form=info.form)
        begin = self._beginning(step, template, callee, options)
        self._start_or_put_off(call.number, begin)
        return call

    def _check(self, options: CallOptions, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if options.limit is not None:
            self._services.check_limit(options.limit)
        if options.reconciler is not None:
            check_reconciler(options.reconciler, args, kwargs)

    def submit(self, value: Any, key: Any, delay: float) -> DurableCall[ChildHandle]:
        """Make a call that starts another run, exactly once."""
        self._services.codec.encode((value, key))  # refused here, not later
        value, key = own_value((value, key))  # as they are now, whenever it begins
        due = self._action.continuation.loop.now + nanoseconds(delay) if delay > 0 else 0
        step, call, template = self._number(SUBMIT, (value, key, delay), {}, names=(SUBMIT,))
        number = call.number
        self._converters[number] = lambda id_: ChildHandle(
            read_id(id_, number), self._outputs_of(key)
        )
        if step.decision is Decision.ANSWER:
            self._start_or_put_off(number, self._answering(step, template))
        elif step.decision is not Decision.REPLAY:
            new = NewChild(value, key, due, (value, key, delay))
            if self._children is None:
                self._children = ChildRuns(self._action)
            begin = functools.partial(self._children.begin, template, new, self.call_over)
            self._submissions |= {number}
            self._start_or_put_off(number, begin)
        return call

    def _outputs_of(self, key: Any) -> Callable[[str], DurableCall[Any]]:
        """Return what waits for a run that this action started under `key`."""
        options = CallOptions(durable_id=OUTPUTS)

        def wait(id_: str) -> DurableCall[Any]:
            self._action.check_turn("outputs")
            refuse_own_key(self._action.where(), self._run.key_digest, key)
            if self._action.continuation.is_sequential:
                raise ContextAccessError(
                    f"{self._action.where()}: without continuations a plain action cannot wait for"
                    " another run, which it would keep from running; write it as `async def`"
                )
            outputs = self._services.supervisor.outputs
            return self.make(outputs, (id_,), {}, options, defaults=False)

        return wait

    def _number(
        self,
        function: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        func: Callable[..., Any] | None = None,
        parts: Mapping[str, Any] | None = None,
        names: tuple[str, ...] = (),
        reconciled: bool = False,
    ) -> tuple[CallStep, DurableCall[Any], Record]:
        """Number a call and check it against the journal; return it with its record to be.

        The step is NEW_CALL, without a number of its own, where the journal knows nothing of it.
        """
        action, loop = self._action, self._action.continuation.loop
        digest, detail = sign_call(args, kwargs, parts)
        if not self._run.count_call():
            action.error = PerdureError(
                f"{action.where()} makes more durable calls than one run may (max-calls-per-run ="
                f" {self._services.max_calls}): raise the option if so many are meant"
            )
            raise action.error
        step, number = NEW_CALL, self._journal.new_call()
        if not number:
            try:
                step = self._journal.call(
                    function,
                    digest,
                    detail,
                    reconciled=reconciled,
                    known=functools.partial(CallIdentity, func, names, args, kwargs, parts),
                )
            except NonDeterminismError as error:
                self._services.counters.divergences += 1
                if not self._services.reexecute:
                    action.error = error
                    raise
                step = action.reexecute(error)
            number = step.number
        call: DurableCall[Any] = DurableCall(
            loop, loop.next_identity(), number, function, action.continuation.parker,
            self._cancelled,
        )  # fmt: skip
        self._calls[number] = call
        template = Record.of_call(
            action.run_number, action.event, action.name, number, function, digest, detail
        )
        return step, call, template

    # Starting them

    def _start_or_put_off(self, number: int, begin: Callable[[], None]) -> None:
        """Start a call, or put that off until replay is over."""
        if self._action.is_live:
            begin()
        else:
            self._put_off[number] = begin

    def go_live(self) -> None:
        """Start what replay has put off, as far as it is still wanted."""
        put_off, self._put_off = self._put_off, {}
        for number, begin in put_off.items():
            call = self._calls.get(number)
            if number in self._submissions or not (call is None or call.done()):
                begin()

    def begin_submissions(self) -> None:
        """The action ends: start the runs that it submitted and replay has put off."""
        if self._submissions:
            for number in sorted(self._submissions & self._put_off.keys()):
                self._put_off.pop(number)()

    def _beginning(
        self, step: CallStep, template: Record, callee: Callee, options: CallOptions
    ) -> Callable[[], None]:
        """Return what starts the call, once the action is live and still wants it."""
        if step.decision is Decision.ANSWER:
            return self._answering(step, template)
        if step.decision is Decision.RECONCILE:
            assert options.reconciler is not None
            func, info = options.reconciler, self._services.function(options.reconciler)
            callee = Callee(
                func, callee.args, callee.kwargs, info.is_coroutine, inline=False,
                is_mutable=not info.keeps_arguments, form=info.form,
            )  # fmt: skip
            if not takes_arguments(func, callee.args, callee.kwargs):
                callee = replace(callee, args=(), kwargs={})
        over: CallOver = self.call_over
        if callee.form is not None:
            over = functools.partial(self.call_over, form=callee.form)
        attempts = CallAttempts(
            self._action, callee, template, options, over=over, before=step.failed
        )
        return functools.partial(self._begin, template.call, attempts)

    def _start_lone(self, attempt: LoneAttempt) -> None:
        number = attempt.template.call
        if not self._action.is_live:
            self._put_off[number] = functools.partial(self._start_lone, attempt)
            return
        self._running[number] = attempt
        services = self._services
        services.counters.calls_made += 1
        if attempt.inline:
            services.executor.run_inline(attempt)
        else:
            services.executor.start(attempt, is_coroutine=True)

    def _begin(self, number: int, attempts: CallAttempts) -> None:
        if attempts.over_at is not None and self._action.start_row is not None:
            # Its time counts from the action's start, which must survive a crash as well.
            self._action.write([], lambda: None)
        self._running[number] = attempts
        attempts.begin()

    def _answering(self, step: CallStep, template: Record) -> Callable[[], None]:
        answer = step.answer
        assert answer is not None
        outcome = template.returned(answer.outcome, answer.started_at)
        left = answer.outcome
        if not isinstance(left, StoredPayload):
            return lambda: self._action.settle(outcome)

        def settle(payload: bytes) -> None:
            self._action.settle(outcome._replace(payload=payload))

        return lambda: self._action.fetch(left, settle)

    def _cancelled(self, call: DurableCall[Any]) -> None:
        # An outcome that comes for it, or that a replay feeds, has nobody to go to.
        number = call.number
        self._calls.pop(number, None)
        self._converters.pop(number, None)
        if self._put_off and number not in self._submissions:
            self._put_off.pop(number, None)  # with its arguments
        if self._measured_as is not None:
            self._measured_as.pop(number, None)
        attempts = self._running.pop(number, None)
        if attempts is not None:
            attempts.cancel()

    # Their outcomes

    def _lone_over(self, attempt: Any, value: Any, error: BaseException | None) -> None:
        """Do what `call_over` does for a call of one attempt."""
        self.call_over(attempt.template, attempt.started_at, value, error)

    def call_over(
        self,
        template: Record,
        started_at: int,
        value: Any,
        error: BaseException | None,
        *,
        form: Any = None,
    ) -> None:
        """A call of this process is over: journal what came of it, in a `form` of its callable."""
        self._running.pop(template.call, None)
        if self._action.ended or self._run.dropped:
            return
        codec = self._services.codec
        if error is None:
            try:
                encode = codec.encode
                data = encode(value) if form is None else form.encoded(value, encode)
                outcome = template.returned(data, started_at)
            except EncodeError as refused:
                error = EncodeError(
                    f"the result of {template.function} cannot be journaled: {refused}"
                )
            except BaseException as refused:  # an attribute or a method of the value raised it
                if ends_process(refused):
                    raise
                error = EncodeError(
                    f"the result of {template.function} cannot be journaled: it raises"
                    f" {type(refused).__name__}: {text_of(refused)}"
                )
        if error is not None:
            outcome = template.raised(encode_failure(codec, error), started_at)
        if (measures := self._services.measures) is not None:
            renamed = self._measured_as
            name = None if renamed is None else renamed.pop(template.call, None)
            measures.call_over(
                name or template.function, started_at, template.waited, value,
                raised=error is not None,
            )  # fmt: skip
        self._action.settle(outcome)

    def _measure_as(
        self, number: int, function: str, func: Callable[..., Any], info: FunctionInfo
    ) -> None:
        """Have a call that was given a name of its own counted as one of its callable.

        That name may have the id of a run in it. Those that are declared with their callables have
        not, nor those of perdure's own callables, which are the names of models, tools and nodes.
        """
        module = getattr(func, "__module__", None) or ""
        is_own = module.startswith("perdure.") or info.form is not None
        if not is_own and function != info.declared.durable_id:
            if self._measured_as is None:
                self._measured_as = {}
            self._measured_as[number] = info.name or OTHER

    def apply(self, record: Record) -> None:
        """Deliver the outcome of a call to its handle."""
        # What it settles with is the action's from here on: nothing here keeps it.
        call = self._calls.pop(record.call, None)
        if call is None or call.done():
            return  # cancelled in the meantime; the same happens on replay
        if record.kind == _RESULT:
            value = self._services.codec.decode(record.outcome)
            convert = self._converters.pop(record.call, None) if self._converters else None
            call.set_result(value if convert is None else convert(value))
        else:
            call.set_exception(decode_failure(self._services.codec, record.outcome))
            call._log_traceback = False  # an unread failure is no news

    # The end

    @property
    def made(self) -> int:
        """How many calls the action has made."""
        return self._journal.calls

    @property
    def under_way(self) -> Collection[CallAttempts | LoneAttempt]:
        """The calls that have been started and are not over."""
        return self._running.values()

    @property
    def running(self) -> bool:
        """True while a call is under way."""
        return bool(self._running) or self.submitting

    @property
    def submitting(self) -> bool:
        """True while a run that the action started is not durable."""
        return self._children is not None and self._children.pending

    def process_ends(self) -> None:
        """The process ends in good order: attempts under way are no crashes."""
        for attempts in self._running.values():
            attempts.process_ends()

    def close(self) -> None:
        """Cancel the calls in flight; their outcomes are dropped."""
        if self._running:
            for attempts in list(self._running.values()):
                attempts.cancel()
            self._running.clear()
        self._put_off.clear()
        self._submissions = NO_NUMBERS
        self._calls.clear()
        self._converters.clear()
