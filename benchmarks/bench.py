#!/usr/bin/env python3
"""Measures Millstream and its peers side by side; targets.py names the servers. See `bench.py MEASURE -h`."""

import argparse
import os
import subprocess
from pathlib import Path

from harness.upstream import FakeModel
from measures.abandoned import abandoned
from measures.cost import BURST, PACED, cost
from measures.first_token import first_token
from measures.growth import growth
from measures.memory import memory
from measures.most_streams import most_streams
from measures.rag_turn import rag_turn
from measures.stalled import stalled
from targets import TARGETS

PEERS = ["c-relay", "nginx", "raw-aiohttp"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    measures = parser.add_subparsers(dest="measure", required=True)

    def add(name: str, text: str, servers: list[str]) -> argparse.ArgumentParser:
        measure = measures.add_parser(name, help=text, description=text)
        measure.add_argument("targets", nargs="*", help=f"of: {', '.join(TARGETS)}; default: {' '.join(servers)}")
        measure.add_argument("--tls", action="store_true", help="the model is asked over TLS")
        measure.set_defaults(default_targets=servers)
        return measure

    one = add("cost", "CPU per token of paced streams", ["millstream", *PEERS])
    one.add_argument("--streams", type=int, default=200)
    one.add_argument("--load", help="options of bin/load instead, for a load of your own")
    one.add_argument("--base", default="raw-aiohttp", help="ratios are to this server")
    one.add_argument("--rounds", type=int, default=5)
    one.add_argument("--tries", type=int, default=3, help="a round that is not clean is repeated")
    one = add("burst", "CPU per token when the model sends all at once", ["millstream", *PEERS, "sdk3-fastapi"])
    one.add_argument("--tokens", type=int, default=100)
    one.add_argument("--streams", type=int, default=1, help="answers at the same time")
    one.add_argument("--answers", type=int, default=60)
    one.add_argument("--base", default="sdk3-fastapi", help="ratios are to this server")
    one.add_argument("--rounds", type=int, default=5)
    one.add_argument("--tries", type=int, default=2)
    one = add("first-token", "added time to the first token", ["millstream", *PEERS, "sdk3-fastapi"])
    one.add_argument("--rounds", type=int, default=5)
    one = add("most-streams", "most streams at 50 tokens/s", ["millstream", "raw-aiohttp", "nginx"])
    one.add_argument("--start", type=int, default=400)
    one.add_argument("--steps", type=int, default=6)
    one.add_argument("--tries", type=int, default=2)
    one = add("abandoned", "clients that leave → upstream closed", ["millstream-stop", "raw-aiohttp", "nginx"])
    one.add_argument("--streams", type=int, default=40)
    one = add("memory", "memory per open stream", ["millstream-stop", "raw-aiohttp", "nginx"])
    one.add_argument("--streams", type=int, default=200)
    one.add_argument("--lengths", type=int, nargs="+", default=[100, 1000, 10000], metavar="TOKENS")
    one = add("stalled", "memory per stalled reader", ["millstream", "raw-aiohttp", "nginx"])
    one.add_argument("--streams", type=int, default=20)
    one.add_argument("--seconds", type=int, default=12)
    one = add("growth", "cost per token of a ten times longer answer", ["millstream"])
    one.add_argument("--rounds", type=int, default=5)
    one = measures.add_parser("rag-turn", help="first step, first source, first word of an answer over documents")
    one.add_argument("documents", type=Path, nargs="?", default=Path(__file__).resolve().parent.parent / "docs")
    one.add_argument("--rounds", type=int, default=20)
    one.add_argument("--question", default="And when it is lost?")
    one.add_argument(
        "--rewritten",
        default="What becomes of an answer when the connection is lost?",
        help="what the model makes of it: a search that finds something in the documents",
    )

    asked = parser.parse_args()
    if asked.measure == "rag-turn":
        rag_turn(asked.documents, rounds=asked.rounds, question=asked.question, rewritten=asked.rewritten)
        return
    names = asked.targets or asked.default_targets
    for name in names:
        if name not in TARGETS:
            parser.error(f"there is no target {name!r}; there are: {', '.join(TARGETS)}")
    subprocess.run(["make", "--silent", "-C", Path(__file__).resolve().parent], check=True)
    print(f"load average {os.getloadavg()[0]:.2f} at the start, TLS to the model: {'yes' if asked.tls else 'no'}")
    model = FakeModel(tls=asked.tls)
    try:
        run(asked, names, model)
    finally:
        model.close()


def run(asked: argparse.Namespace, names: list[str], model: FakeModel) -> None:
    match asked.measure:
        case "cost":
            paced = PACED.format(streams=asked.streams, delay=max(300, asked.streams * 3))
            cost(names, model, load=asked.load or paced, rounds=asked.rounds, tries=asked.tries, base=asked.base,
                 measure="cost")  # fmt: skip
        case "burst":
            load = BURST.format(streams=asked.streams, tokens=asked.tokens, answers=asked.answers)
            cost(names, model, load=load, rounds=asked.rounds, tries=asked.tries, base=asked.base, measure="burst")
        case "first-token":
            first_token(names, model, rounds=asked.rounds)
        case "most-streams":
            most_streams(names, model, start=asked.start, steps=asked.steps, tries=asked.tries)
        case "abandoned":
            abandoned(names, model, streams=asked.streams)
        case "memory":
            memory(names, model, streams=asked.streams, lengths=asked.lengths)
        case "stalled":
            stalled(names, model, streams=asked.streams, seconds=asked.seconds)
        case "growth":
            growth(names, model, rounds=asked.rounds)


if __name__ == "__main__":
    main()
