"""Steps: who follows whom, recorded or not."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import tracing
from shared.domain.trace import read_traceparent, trace_id

BEFORE = f"00-{7:032x}-{9:016x}-01"
OTHER = f"00-{8:032x}-{9:016x}-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def recorder(exporter: InMemorySpanExporter) -> tracing.OpenTelemetry:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return tracing.OpenTelemetry(provider)


def test_while_nothing_is_recorded_the_context_goes_on_as_it_came() -> None:
    with tracing.step("one", parent=BEFORE) as one, tracing.step("two") as two:
        assert (one.traceparent, two.traceparent, tracing.current()) == (BEFORE, BEFORE, BEFORE)
    assert tracing.current() is None


def test_a_step_without_one_before_begins_a_trace_that_nobody_keeps() -> None:
    with tracing.step("one") as one, tracing.step("two") as two:
        assert read_traceparent(one.traceparent) == one.traceparent == two.traceparent
        assert one.traceparent.endswith("-00")
    with tracing.step("another") as another:
        assert trace_id(another.traceparent) != trace_id(one.traceparent)


def test_recorded_steps_hang_below_each_other_in_the_trace_that_came(
    exporter: InMemorySpanExporter, recorder: tracing.OpenTelemetry
) -> None:
    with tracing.recording(recorder):
        with tracing.step("one", parent=BEFORE) as one, tracing.detail("part"):
            pass
        with tracing.step("next", parent=one.traceparent):
            pass

    spans = {span.name: span for span in exporter.get_finished_spans()}
    parents = {name: span.parent.span_id for name, span in spans.items() if span.parent}
    assert {trace_id(BEFORE)} == {f"{s.context.trace_id:032x}" for s in spans.values() if s.context}
    assert parents["one"] == 9
    assert parents["part"] == parents["next"] == int(one.traceparent[36:52], 16)


def test_steps_that_are_taken_together_stay_in_the_traces_that_they_came_from(
    exporter: InMemorySpanExporter, recorder: tracing.OpenTelemetry
) -> None:
    with (
        tracing.recording(recorder),
        tracing.steps("many", [BEFORE, None, OTHER], kind="consumer", attributes={}) as steps,
    ):
        assert tracing.current() is None

    first, second, third = (trace_id(step.traceparent) for step in steps)
    assert (first, third) == (trace_id(BEFORE), trace_id(OTHER))
    assert second not in (first, third)
    assert len(exporter.get_finished_spans()) == 3


def test_a_step_that_failed_says_so_without_secrets(
    exporter: InMemorySpanExporter, recorder: tracing.OpenTelemetry
) -> None:
    with (
        tracing.recording(recorder),
        pytest.raises(ValueError, match="hunter2"),
        tracing.step("one"),
    ):
        raise ValueError("amqp://user:hunter2@broker")

    [span] = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert "ValueError" in str(span.status.description)
    assert "hunter2" not in str(span.to_json())


async def test_tasks_that_run_at_the_same_time_keep_their_own_traces() -> None:
    both = asyncio.Barrier(2)

    async def under(parent: str) -> str | None:
        with tracing.step("one", parent=parent):
            await both.wait()
            return tracing.current()

    assert list(await asyncio.gather(under(BEFORE), under(OTHER))) == [BEFORE, OTHER]


def test_a_part_of_no_step_is_not_recorded(
    exporter: InMemorySpanExporter, recorder: tracing.OpenTelemetry
) -> None:
    with tracing.recording(recorder), tracing.detail("bucket list", "client"):
        pass

    assert exporter.get_finished_spans() == ()
