"""What the calls of a period would have been with one model alone."""

from __future__ import annotations

from multirouter.core.cost.price import Price
from multirouter.errors import ConfigurationError
from multirouter.model import Usage
from multirouter.report.model import Baseline, Latency, Report


def baseline_of(report: Report, model: str, price: Price | None) -> Baseline:
    """The figures of a model as the baseline of a report.

    Its success rate and its latency are those of its own attempts; of several providers that have
    it, those of the one with the most answers. Its cost is that of all tokens of the period.

    Args:
        report: the report.
        model: the model's name.
        price: its price; None when it is not known.
    """
    own = [stats for stats in report.models if stats.model == model]
    most = max(own, key=lambda stats: stats.answers, default=None)
    tokens = Usage(
        sum(stats.input_tokens for stats in report.providers),
        sum(stats.output_tokens for stats in report.providers),
    )
    return Baseline(
        model=model,
        attempts=sum(stats.attempts for stats in own),
        success_rate=None if most is None else most.success_rate,
        latency=Latency() if most is None else most.latency,
        cost=None if price is None or not any(tokens) else price.of(tokens),
    )


def price_from(text: str) -> Price:
    """Parses a price such as `1.25:10`, USD per million input and output tokens.

    Raises:
        ConfigurationError: it is not two numbers with a colon between them.
    """
    numbers = text.split(":")
    try:
        input_price, output_price = map(float, numbers)
    except ValueError:
        why = f"must be INPUT:OUTPUT in USD per million tokens, such as 1.25:10, got {text!r}"
        raise ConfigurationError("--baseline-price", why) from None
    return Price(input_price, output_price)
