"""The agent's operator for Flink, callback by callback, without Flink."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests import flink_desk
from tests.flink_desk import SHARDS, Desk
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, VectorStore
from perdure.codec.codec import Codec
from perdure.codec.digests import digest, shard_of
from perdure.config.configuration import Configuration
from perdure.engine.flink import spec
from perdure.engine.flink.failures import encode_failure
from perdure.engine.flink.operator import END
from perdure.engine.flink.refusals import check_plan
from perdure.engine.flink.rows import VERSION, dump
from perdure.engine.plan_of import plan_of
from perdure.errors import AgentDefinitionError, FlinkJobError, InputError, StoreFormatError
from perdure.llm.tool import Tool
from perdure.resource import ResourceDescriptor, ResourceType


@pytest.fixture(autouse=True)
def _closed_gate() -> Iterator[None]:
    flink_desk.begun.clear()
    flink_desk.gate.clear()
    yield
    flink_desk.gate.set()


def other_shard(shard: int) -> str:
    return next(k for k in map("o{}".format, range(99)) if shard_of(digest(k), SHARDS) != shard)


def host_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("perdure-desk")]


def test_it_needs_no_pyflink() -> None:
    code = (
        "import sys; sys.modules['pyflink'] = None\n"
        "import perdure.engine.flink.operator, perdure.engine.flink.spec"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)


def test_a_timer_is_set_while_there_is_something_to_fetch_and_not_after() -> None:
    with Desk() as desk:
        shard = desk.give("hello")
        assert desk.timers == [("event", shard, END), ("processing", shard, 1_010)]
        desk.give("hello")
        desk.tick(shard)
        assert len(desk.timers) == 2
        desk.until(lambda: len(desk.outputs) == 2, shard)
        desk.timers.clear()
        desk.pump(shard, 1_010)
        desk.tick(shard)
        assert desk.timers == []
        desk.give("hello")
        assert desk.timers == [("processing", shard, 1_010)]


def test_one_timer_fetches_what_has_happened_in_all_shards_of_a_subtask() -> None:
    keys = ["a", "b", "c", "d", "e"]
    with Desk() as desk:
        shards = [desk.give("hold on", key) for key in keys]
        assert len(set(shards)) > 1
        assert [each for each in desk.timers if each[0] == "processing"] == [
            ("processing", shards[0], 1_010)
        ]
        desk.until(lambda: all("r" in desk.kinds(shard) for shard in shards), shards[0])
        flink_desk.gate.set()
        desk.until(lambda: len(desk.outputs) == len(keys), shards[0])
        assert {desk.kinds(shard).strip("km") for shard in shards} == {"nv"}
        assert len([each for each in desk.timers if each[0] == "processing"]) == 1


def test_a_run_that_lasts_holds_no_other_record_up() -> None:
    with Desk() as desk:
        shard = desk.give("hold on", "a")
        for key in ["b", "c", "d", "e"]:
            desk.give("hello", key)
        desk.until(lambda: len(desk.outputs) == 4, shard)
        assert ["hold on", 1] not in desk.outputs
        flink_desk.gate.set()
        desk.pump(shard, END)
        assert desk.outputs[-1] == ["hold on", 1]


def test_a_timer_that_flink_has_lost_is_set_again_by_a_tick() -> None:
    with Desk() as desk:
        shard = desk.give("hold on")
        desk.timers.clear()
        desk.tick(shard)
        assert desk.timers == []
        desk.clock += 2_000
        desk.tick(shard)
        assert desk.timers == [("processing", shard, desk.clock + 10)]
        desk.pump(shard, 1_010)  # it came all the same
        assert len(desk.timers) == 1


def test_g20_at_the_end_of_the_input_all_shards_go_on_together() -> None:
    """Each would wait for the other if one were drained after the other."""
    with Desk(config={"max-runs-in-flight": 2}) as desk:
        shards = {desk.give("hold on", key): key for key in ["a", "b", "c", "d", "e", "f"]}
        assert len(shards) > 1
        flink_desk.gate.set()
        desk.pump(min(shards), END)
        assert len(desk.outputs) == 6


def test_g6_a_tick_takes_up_what_a_restored_shard_has() -> None:
    with Desk() as desk:
        shard = desk.give("hold on")
        desk.give("hello")
        desk.until(lambda: flink_desk.begun, shard)
        desk.until(lambda: "i" not in desk.kinds(shard), shard)
        checkpoint = copy.deepcopy(desk.state)
    assert desk.outputs == []
    with Desk(checkpoint) as desk:
        desk.tick(shard)
        assert desk.timers == [("event", shard, END), ("processing", shard, 1_010)]
        flink_desk.gate.set()
        desk.until(lambda: len(desk.outputs) == 2, shard)
    assert desk.outputs == [["hold on", 1], ["hello", 2]]


def test_the_end_of_a_bounded_input_waits_for_all_runs_of_a_shard() -> None:
    with Desk() as desk:
        shard = desk.give("hold on")
        timer = threading.Timer(0.05, flink_desk.gate.set)
        timer.start()
        desk.pump(shard, END)
        timer.join()
    assert desk.outputs == [["hold on", 1]]


def test_what_ends_between_two_pumps_leaves_no_rows() -> None:
    with Desk() as desk:
        shard = desk.give("hello")
        assert desk.kinds(shard) == "iv"
        desk.pump(shard, END)
        assert desk.kinds(shard) == "kmnv"
        desk.give("hold on")
        desk.until(lambda: "r" in desk.kinds(shard), shard)
        flink_desk.gate.set()
        desk.pump(shard, END)
        assert desk.kinds(shard) == "kmnv"


def test_g20_inputs_beyond_what_may_be_in_flight_stay_in_the_state() -> None:
    with Desk(config={"max-runs-in-flight": 2}) as desk:
        keys = [k for k in map("k{}".format, range(99)) if shard_of(digest(k), SHARDS) == 1][:6]
        for key in keys:
            desk.give("hold on", key)
        desk.until(lambda: len(flink_desk.begun) == 2, 1)
        desk.until(lambda: desk.kinds(1).count("i") == 4, 1)
        desk.pump(1)
        assert len(flink_desk.begun) == 2
        flink_desk.gate.set()
        desk.pump(1, END)
    assert len(desk.outputs) == 6
    assert desk.kinds(1).count("i") == 0


def test_g2_an_id_is_known_while_its_run_goes_on() -> None:
    with Desk() as desk:
        shard = desk.give("hold on", id="a")
        desk.give("hold on", id="a")
        flink_desk.gate.set()
        desk.pump(shard, END)
        assert desk.outputs == [["hold on", 1]]
        desk.give("hold on", id="a")
        desk.pump(shard, END)
        assert desk.outputs == [["hold on", 1], ["hold on", 2]]


def test_g2_ids_are_kept_for_their_time_and_over_a_restart() -> None:
    options: dict[str, Any] = {"ids_ttl": 3600.0}
    with Desk(**options) as desk:
        shard = desk.give("hello", id="a")
        desk.pump(shard, END)
        assert desk.kinds(shard) == "dkmnv"
    with Desk(desk.state, **options) as desk:
        desk.give("hello", id="a")
        desk.pump(shard, END)
        assert desk.outputs == []
        desk.now += 3_601 * 10**9
        desk.tick(shard)
        desk.pump(shard)
        assert "d" not in desk.kinds(shard)
        desk.give("hello", id="a")
        desk.pump(shard, END)
        assert desk.outputs == [["hello", 2]]


def test_g2_ids_that_a_process_has_given_back_are_not_known_there() -> None:
    options: dict[str, Any] = {"ids_ttl": 3600.0}
    with Desk(**options) as stays, Desk(**options) as desk:
        shard = desk.give("hello", id="a")
        desk.pump(shard, END)
        desk.operator.close()
        stays.give("hello", id="a")  # as after a rewind to before it was read
        stays.pump(shard, END)
        assert stays.outputs == [["hello", 1]]


def test_inputs_without_ids_are_all_others() -> None:
    with Desk(has_ids=False) as desk:
        shard = desk.give("hello")
        desk.give("hello")
        desk.pump(shard, END)
    with Desk(desk.state, has_ids=False) as again:
        again.give("hello")
        again.pump(shard, END)
    assert desk.outputs + again.outputs == [["hello", 1], ["hello", 2], ["hello", 3]]


def test_what_fails_leaves_by_the_side_and_the_job_goes_on() -> None:
    with Desk() as desk:
        shard = desk.give("hold on", id="a")
        desk.give("fail no luck", id="b")
        desk.give("hello", id="a")  # another input under its id
        flink_desk.gate.set()
        desk.pump(shard, END)
        desk.give("hello", id="c")
        desk.pump(shard, END)
    assert desk.outputs == [["hold on", 1], ["hello", 2]]
    failed = {each.id: each for each in desk.failed}
    assert (failed["b"].key, failed["b"].value) == ("k", "fail no luck")
    assert (failed["b"].error_type, failed["b"].error) == ("ValueError", "no luck")
    assert failed["b"].run is not None
    assert "was submitted before with another key or value" in failed["a"].error
    assert failed["a"].run is None
    assert len(desk.failed) == 2


def test_what_fails_fails_the_job_where_it_is_told_to() -> None:
    with Desk(fails=True) as desk:
        shard = desk.give("fail loudly\nand long", key="a", id="a")
        with pytest.raises(FlinkJobError, match=r"run \w+ of key 'a' failed: ValueError: loudly a"):
            desk.pump(shard, END)
    no_key = InputError("it has no key")
    failure = encode_failure(Codec(), id=None, run=None, key=None, value=1, error=no_key)
    with Desk(fails=True) as desk:
        told = desk.operator.element(0, dump((None, None, failure)), desk)
        with pytest.raises(FlinkJobError, match=r"^an input failed: .*InputError: it has no key$"):
            list(told)


def test_a_failure_from_before_leaves_as_it_is() -> None:
    with Desk() as desk:
        told = list(desk.operator.element(0, dump(("a", None, b"whatever")), desk))
    assert [each.data for each in told] == [b"whatever"]
    assert desk.state == {}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("signal go", "the signal 'go' can never come, since nobody can leave anything"),
        ("approval pay", "an answer to the approval 'pay' can never come"),
        ("document text", "flink:// keeps no documents"),
        (f"child {other_shard(shard_of(digest('k'), SHARDS))}", "belongs to another shard"),
    ],
)
def test_g29_what_flinks_state_cannot_do_is_refused_when_it_is_asked_for(
    asked: str, said: str
) -> None:
    with Desk() as desk:
        desk.pump(desk.give(asked, id="a"), END)
    assert desk.outputs == []
    (failed,) = desk.failed
    assert said in failed.error


def test_what_stops_the_runtime_fails_the_function() -> None:
    with Desk(config={"error-handling-strategy": "fail"}) as desk:
        shard = desk.give("fail no luck")
        with pytest.raises(ValueError, match="no luck"):
            desk.until(lambda: False, shard)
        with pytest.raises(ValueError, match="no luck"):
            desk.give("hello")
    assert host_threads() == []


def test_an_agent_that_cannot_be_run_fails_where_it_is_opened() -> None:
    with pytest.raises(AgentDefinitionError, match="has no attribute"), Desk(agent="json:Nothing"):
        pass
    assert host_threads() == []


def test_subtasks_of_a_process_share_a_host_that_the_last_one_ends() -> None:
    state: dict[int, dict[str, bytes]] = {}
    with Desk(state) as one:
        shard = one.give("hold on")
        one.until(lambda: "r" in one.kinds(shard), shard)
        with Desk(state) as other:
            assert len(host_threads()) == 1
            other.tick(shard)  # one is about to be closed; its runs go on here
            one.operator.close()
            assert len(host_threads()) == 1
            flink_desk.gate.set()
            other.pump(shard, END)
            assert other.outputs == [["hold on", 1]]
        assert host_threads() == []
    assert one.outputs == []


def test_limits_of_a_process_are_said_to_be_such(caplog: pytest.LogCaptureFixture) -> None:
    with Desk(config={"limits": {"api": {"concurrency": 2}}}) as one, Desk(config=one.spec.config):
        pass
    with Desk(config={"max-runs-in-flight": 2}), Desk():
        pass
    told = [each for each in caplog.messages if "hold in each worker process" in each]
    assert [each.split(" hold in")[0] for each in told] == [
        "job desk: limits", "job desk: max-runs-in-flight",
    ]  # fmt: skip


def test_g23_state_of_another_format_is_refused_by_name() -> None:
    with Desk({0: {"v": dump(VERSION + 1)}}) as desk:
        said = f"has state of format {VERSION + 1}, and this perdure reads {VERSION}"
        with pytest.raises(StoreFormatError, match=said):
            desk.tick(0)
    with Desk({0: {"something": b"else"}}) as desk:
        with pytest.raises(StoreFormatError, match="has not written"):
            desk.tick(0)
    with Desk({0: {"v": b"\xc1"}}) as desk, pytest.raises(StoreFormatError, match="entry 'v'"):
        desk.tick(0)


def test_in_memory_an_input_stays_in_the_state_until_its_run_has_ended() -> None:
    with Desk(store="memory://") as desk:
        shard = desk.give("hold on", id="a")
        desk.until(lambda: flink_desk.begun, shard)
        desk.pump(shard)
        assert desk.kinds(shard) == "iv"
        state = copy.deepcopy(desk.state)
        flink_desk.gate.set()
        desk.pump(shard, END)
        assert desk.kinds(shard) == "nv"
    with Desk(state, store="memory://") as again:
        again.tick(shard)
        again.pump(shard, END)
    assert desk.outputs == again.outputs == [["hold on", 1]]


# What an agent declares


async def nothing(event: Any, ctx: Any) -> None: ...


def declaring(name: str, type: ResourceType, source: Any) -> Any:
    agent = Agent().add_action("nothing", InputEvent, nothing)
    agent.add_resource(name, type, source)
    return plan_of(agent, Configuration())


async def pay(amount: int) -> int:
    """Pay.

    Args:
        amount: how much.
    """
    return amount


def test_an_agent_that_declares_what_cannot_be_is_refused_before_it_runs() -> None:
    tool = Tool.from_callable(pay, requires_approval=True)
    with pytest.raises(AgentDefinitionError, match=r"'pay' requires approval, which nobody can"):
        check_plan(declaring("pay", ResourceType.TOOL, tool), "flink://")
    described = ResourceDescriptor(VectorStore)
    for source in (VectorStore(), described):
        plan = declaring("papers", ResourceType.VECTOR_STORE, source)
        with pytest.raises(AgentDefinitionError, match=r"'papers' keeps its documents in the job"):
            check_plan(plan, "flink://")
    check_plan(declaring("pay", ResourceType.TOOL, Tool.from_callable(pay)), "flink://")


def test_a_spec_says_the_same_shard_as_the_runtime() -> None:
    keys = ["a", "b", 3]
    assert [spec.shard_of(key, 7) for key in keys] == [shard_of(digest(key), 7) for key in keys]
