"""Checking the inputs of a call, beside a plain function call: `python -m benchmarks.validation`.

A nested order with five lines goes through what the pipeline uses: JSON in, the model and its JSON with every default out; and
the same with three faults, told in full. The median of several rounds, in processor time, per operation.
"""

from __future__ import annotations

import copy
import statistics
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from assent import capability
from assent.errors import InputError
from assent.invocation import BoundCapability
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

VALID_US_MAX: Final = 10.0
REFUSED_US_MAX: Final = 15.0
LINES: Final = 5


class Line(BaseModel):
    """One line of an order."""

    sku: Annotated[str, Field(min_length=1, max_length=20)]
    qty: Annotated[int, Field(ge=1)]
    price: float


class Address(BaseModel):
    """Where an order goes."""

    street: str
    city: str
    code: Annotated[str, Field(pattern="^[0-9]{5}$")]


class Order(BaseModel):
    """An order with lines and an address."""

    id: str
    customer: str
    express: bool = False
    address: Address
    lines: list[Line]


@capability("shop.order", operation="READ", risk="LOW")
def order(order: Order) -> int:
    """How many lines an order has."""
    return len(order.lines)


ORDER: Final[dict[str, Any]] = {
    "id": "o-1",
    "customer": "ada",
    "address": {"street": "1 Main St", "city": "Springfield", "code": "12345"},
    "lines": [{"sku": f"s{index}", "qty": index + 1, "price": 1.5 * index} for index in range(LINES)],
}


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promises."""
    del folder  # nothing is stored
    number, rounds = (1_000, 5) if quick else (10_000, 25)
    bound = BoundCapability(order.spec, order.handler)
    wrong = copy.deepcopy(ORDER)
    wrong["address"]["code"], wrong["lines"][1]["price"], wrong["lines"][3]["qty"] = 5, "free", "many"

    def plain(inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs

    def refuse() -> None:
        try:  # noqa: SIM105  # `suppress` would add half a microsecond of its own
            bound.parse(wrong)
        except InputError:
            pass

    figures = {
        "a plain function call": _median_us(lambda: plain(ORDER), number, rounds),
        f"a nested order with {LINES} lines": _median_us(lambda: bound.parse(ORDER), number, rounds),
        "the same with 3 faults": _median_us(refuse, number, rounds),
    }
    show("checking inputs", ["", "µs"], [[name, f"{figure:.3f}"] for name, figure in figures.items()])
    targets = [
        Target(
            "a valid order, µs", figures[f"a nested order with {LINES} lines"], VALID_US_MAX, at_least=False
        ),
        Target(
            "an order with 3 faults, µs", figures["the same with 3 faults"], REFUSED_US_MAX, at_least=False
        ),
    ]
    return Part("validation", {"figures_us": figures}, targets)


def _median_us(action: Callable[[], object], number: int, rounds: int) -> float:
    taken = timeit.repeat(action, timer=time.thread_time, number=number, repeat=rounds)
    return statistics.median(taken) * 1e6 / number


if __name__ == "__main__":
    run_part(measure, __doc__)
