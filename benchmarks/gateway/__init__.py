"""What does the gateway cost beside a bare proxy and other gateways; is it stable in a soak?

One upstream, one load client, and every proxy as a process on loopback. They take turns, round by
round; the results are ratios within one run. The gateway checks a key and has metrics, trail and
access log on, as in production.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.gateway import bodies, calls, contestants, soak, streams
from benchmarks.harness import loops, report


def main(argv: Sequence[str]) -> int:
    """Measures and prints; the exit code is 1 when the soak found a problem."""
    options = _options(argv)
    if options.what == "soak":
        return soak.run(options)
    if options.what == "bodies":
        return bodies.run(options)
    loop = loops.installed()[-1]
    if options.what == "streams":
        shape = _streams(options)
        result = loops.run(loop, lambda: streams.measure(shape))
        report.show("gateway", result, lambda: streams.text(result), as_json=options.json)
        return 0
    shape = _calls(options)
    result = loops.run(loop, lambda: calls.measure(shape, contestants.programs(options)))
    result["summary"] = calls.summary(result["contestants"])
    report.show("gateway", result, lambda: calls.text(result), as_json=options.json)
    return 0


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = report.parser("gateway", (__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "what", nargs="?", choices=("calls", "streams", "soak", "bodies"), default="calls"
    )
    parser.add_argument("--rounds", type=int, help="of calls and streams (7; quick: 1)")
    parser.add_argument("--workers", type=int, default=2, help="workers of the second gateway (2)")
    parser.add_argument("--turns", type=int, default=0, help="of the conversation in a call (0)")
    parser.add_argument("--plain", action="store_true", help="do not use wrk and nginx")
    parser.add_argument("--streams", type=int, help="at once (500; quick: 20)")
    parser.add_argument("--rate", type=float, default=10.0, help="chunks per second of a stream")
    parser.add_argument("--seconds", type=float, help="that a stream takes (4; quick: 1.4)")
    parser.add_argument(
        "--warm-up", type=float, default=1.0, help="seconds of a stream that do not count (1)"
    )
    parser.add_argument(
        "--requests",
        type=int,
        help="of the soak (100,000; quick: 600), of bodies (6,000; quick: 138)",
    )
    contestants.add_options(parser)
    return parser.parse_args(list(argv))


def _calls(options: argparse.Namespace) -> calls.Shape:
    rounds = options.rounds or (1 if options.quick else 7)
    seconds = 0.2 if options.quick else 2.0
    return calls.Shape(
        rounds, seconds, options.workers, tools=not options.plain, turns=options.turns
    )


def _streams(options: argparse.Namespace) -> streams.Shape:
    many = options.streams or (20 if options.quick else 500)
    rounds = options.rounds or (1 if options.quick else 7)
    seconds = options.seconds or (1.4 if options.quick else 4.0)
    return streams.Shape(rounds, many, options.rate, seconds, options.warm_up)
