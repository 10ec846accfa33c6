"""Usage of streams: reported by chunks, or estimated."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.cost.metering import ProviderPricing, UsageMeter
from multirouter.core.cost.model_prices import MAX_KNOWN
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.model import Usage
from tests.core.cost.billing_kit import CHEAP, chain
from tests.core.kit import World, provider


def chunk(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A canonical chunk."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {"choices": [choice], **more}


def streamed(
    *chunks: Any, end: str = "success", served: bool = True, size: int = 0
) -> Usage | None:
    """What a stream of these chunks has used, that ended so."""
    world = chain("a", "b")
    plan = world.plan("chain", request="q" * 40, size=size)
    step = world.next_attempt(plan)
    step.meter = meter = UsageMeter(step.member.pricing)
    reader = StreamPolicy().reader(chunks[0])
    for each in chunks:
        meter.record(each, reader)
    if served:
        plan.begin_serving(step, world.now)
    if end == "success":
        world.succeed(plan, step, None)
    elif end == "cancelled":
        world.cancel(plan, step)
    else:
        world.fail(plan, step, end)
    return plan.attempts[0].usage


USED: dict[str, Any] = {"usage": {"prompt_tokens": 12, "completion_tokens": 3}}


def test_usage_at_the_end_of_a_stream() -> None:
    """The usage is in the last chunk of the answer, or in a chunk without choices after it."""
    usage = Usage(12, 3)
    assert streamed(chunk("abcd"), chunk(finish="stop"), {"choices": [], **USED}) == usage
    assert streamed(chunk("abcd"), chunk(finish="stop", **USED)) == usage


def test_a_stream_without_usage_is_estimated() -> None:
    """Characters of text, reasoning, tool calls and of the request are counted."""
    call = {"function": {"arguments": "{}{}"}}
    thought = {"choices": [{"index": 0, "delta": {"reasoning_content": "abcd"}}]}
    tool = {"choices": [{"index": 0, "delta": {"tool_calls": [call, {}]}}]}
    assert streamed(chunk("abcd"), thought, tool) == Usage(10, 3, estimated=True)
    assert streamed("abcd", "efg") == Usage(10, 2, estimated=True)
    assert streamed("abcd", "e") == Usage(10, 2, estimated=True)
    assert streamed("abcd", size=77) == Usage(77, 1, estimated=True)


def test_usage_before_the_end_of_a_complete_stream_counts() -> None:
    """A stream that ended regularly has used what it reported, wherever that was."""
    assert streamed(chunk("a" * 40, **USED), chunk(finish="stop")) == Usage(12, 3)


def test_a_chunk_of_another_type_counts_no_characters() -> None:
    """The first chunk decides how all are read; one that cannot be read so fails no stream."""
    assert streamed("abcd", 7, "efgh") == Usage(10, 2, estimated=True)
    assert streamed(chunk("abcd"), "efgh", 7) == Usage(10, 1, estimated=True)


@pytest.mark.parametrize("end", ["cancelled", "timeout", "interrupted", "server", "transport"])
def test_an_incomplete_stream_is_billed_for_its_content(end: str) -> None:
    """After content, the input and the delivered text are billed, however the stream ends."""
    assert streamed(chunk("a" * 40), end=end) == Usage(10, 10, estimated=True)


def test_an_incomplete_stream_with_reported_input() -> None:
    """Reported usage is kept; the output is the larger of the reported and the delivered one."""
    begun = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 33, "output_tokens": 1}},
    }
    assert streamed(begun, end="interrupted") == Usage(33, 1, estimated=True)
    running = [chunk("a" * 40, **USED), chunk("a" * 40, **USED)]
    assert streamed(*running, end="timeout") == Usage(12, 20, estimated=True)
    later: dict[str, Any] = {"usage": {"completion_tokens": 2, "prompt_tokens": 0}}
    assert streamed(chunk("a" * 40, **later), end="timeout") == Usage(10, 10, estimated=True)


def test_cancelled_after_the_final_usage() -> None:
    """Usage that was reported with the end is complete, even when the consumer then leaves."""
    assert streamed(chunk("abcd"), chunk(finish="stop", **USED), end="cancelled") == Usage(12, 3)


def test_a_stream_that_fails_before_content_is_not_billed() -> None:
    """An error event before the first content is not billed."""
    begun = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 33, "output_tokens": 1}},
    }
    assert streamed(begun, end="overloaded", served=False) is None


def unpriced(*chunks: Any, end: str = "success") -> tuple[Usage | None, str | None]:
    """Usage and model of a stream of these chunks, of a provider without price and reader."""
    world = World([provider("a")])
    plan = world.plan(request="q" * 40)
    step = world.next_attempt(plan)
    step.meter = meter = UsageMeter(step.member.pricing)
    reader = StreamPolicy().reader(chunks[0])
    for each in chunks:
        meter.record(each, reader)
    plan.begin_serving(step, world.now)
    if end == "success":
        world.succeed(plan, step, None)
    else:
        world.fail(plan, step, end)
    return plan.attempts[0].usage, plan.attempts[0].model


def test_without_a_price_reported_usage_is_counted() -> None:
    """Nothing is estimated; what an incomplete stream reported so far is marked as estimated."""
    assert unpriced(chunk("abcd"), chunk(finish="stop", **USED)) == (Usage(12, 3), None)
    assert unpriced(chunk("abcd"), chunk(finish="stop")) == (None, None)
    assert unpriced("abcd", "efgh") == (None, None)
    partial = unpriced(chunk("abcd", **USED), end="interrupted")
    assert partial == (Usage(12, 3, estimated=True), None)


def test_the_model_of_a_stream() -> None:
    """The first chunk that names a model decides, in every format."""
    assert unpriced(chunk("a", model="gpt-5"), chunk("b", model="other"))[1] == "gpt-5"
    begun = {"type": "message_start", "message": {"model": "claude-haiku-4-5"}}
    assert unpriced(begun, {"type": "ping"})[1] == "claude-haiku-4-5"
    assert unpriced({"candidates": [], "modelVersion": "gemini-2.5-flash"})[1] == "gemini-2.5-flash"


# ── the pricing of a provider ───────────────────────────────────────────────────────────────────


class Reports:
    """The pricing of one provider, and what it has reported."""

    def __init__(self, model: Any = None, prices: Any = None, usage: Any = None) -> None:
        self.errors: list[tuple[Any, str]] = []
        self.missing: list[tuple[str, str]] = []
        self.pricing = ProviderPricing(
            "a",
            model,
            prices,
            usage,
            None,
            on_hook_error=lambda hook, error: self.errors.append((hook, str(error))),
            on_missing_price=lambda provider, name: self.missing.append((provider, name)),
        )


def raising(_: object) -> Any:
    """A function of the user that raises."""
    raise ValueError("slip")


def test_what_a_function_of_the_user_raises_is_reported_with_it() -> None:
    """The listener learns which function it was. The model is reported only where requested."""
    reports = Reports(model=raising, prices=raising, usage=raising)
    pricing = reports.pricing
    assert pricing.read({}) is None
    assert pricing.model_of({}) is None
    assert reports.errors == [(raising, "slip")]
    assert pricing.model_of({}, report=True) is None
    assert pricing.price_of("m", None) is None
    assert reports.errors[1] == (raising, "slip")
    assert reports.errors[2][1] == "slip"
    assert pricing.default_model is None


def test_an_attempt_is_plain_where_nothing_counts_it() -> None:
    """Prices, a usage reader or a model make it one that is counted."""
    assert Reports().pricing.plain is True
    assert not Reports().pricing.has_prices
    for settings in ({"prices": CHEAP}, {"usage": len}, {"model": "m"}):
        assert not Reports(**settings).pricing.plain
    assert Reports(prices=CHEAP).pricing.has_prices


def test_missing_prices_are_reported_for_a_bounded_number_of_models() -> None:
    """A model that is not named has the empty name. Names in answers are untrusted."""
    reports = Reports(prices={"known": CHEAP})
    for _ in range(2):
        assert reports.pricing.price_of(None, None) is None
    assert reports.missing == [("a", "")]
    for number in range(MAX_KNOWN + 5):
        reports.pricing.price_of(f"m{number}", "asked")
    assert len(reports.missing) == MAX_KNOWN
