"""Everything that can be passed: as a Hypothesis strategy, and the examples that others have published."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from kernel.capdata import RemoteError, Slot, Symbol, Tagged

# The examples of Endo's smallcaps cheatsheet, with the values that they stand for here.
PUBLISHED = [
    (2**64, '"+18446744073709551616"'),
    (-(2**64), '"-18446744073709551616"'),
    (math.inf, '"#Infinity"'),
    (-math.inf, '"#-Infinity"'),
    (-0.0, '"#-0"'),
    (Symbol("foo"), '"%foo"'),
    (Symbol("@@asyncIterator"), '"%@@asyncIterator"'),
    ("#foo", '"!#foo"'),
    ("foo", '"foo"'),
    (None, "null"),
    (True, "true"),
    (False, "false"),
    (7.1, "7.1"),
    ([1, "a"], '[1,"a"]'),
    ({"x": 1, "y": "b"}, '{"x":1,"y":"b"}'),
    (RemoteError("TypeError", "msg"), '{"#error":"msg","name":"TypeError"}'),
    (Tagged("t", 7), '{"#tag":"t","payload":7}'),
]


def values_with(references: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give a strategy for everything passable, with these references in it."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(10, 4200).map(lambda digits: 10**digits + 7)
        | st.floats(allow_nan=False)
        | st.text()
        | st.sampled_from("!\"#$%&'()*+,-").flatmap(lambda sigil: st.text().map(lambda text: sigil + text))
        | st.binary()
        | references
        | st.builds(Symbol, st.text())
        | st.builds(RemoteError, st.text(), st.text(), st.none() | st.text()),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(), inner)
            | st.builds(Tagged, st.text().filter(lambda tag: tag != "bytes"), inner)
        ),
    )


PASSABLES = values_with(
    st.builds(
        Slot,
        st.builds("{}{}".format, st.sampled_from(["o-", "o+", "p-", "p+", "ko", "kp"]), st.integers(0, 99)),
        st.none(),
    )
)
