"""The table of the markers: what each arranges, its arguments with their defaults, and what they may be.

Invariant: this is the one place where the signatures stand; a test compares them with the scenarios' own.  A marker
with a contract has its scenario in the module of that name.  Data only, and light: imported by every run, and knows
nothing of pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Parameter(NamedTuple):
    """One argument of a marker: its default and, for words, those allowed; for numbers, the least and the most."""

    name: str
    default: str | int
    words: tuple[str, ...] = ()
    least: int = 0
    most: int = 0


class Marker(NamedTuple):
    """A marker: what it arranges, its arguments, and a rule between them."""

    name: str
    arranges: str
    parameters: tuple[Parameter, ...] = ()
    rule: Callable[[dict[str, Any]], str | None] = lambda _values: None
    contract: bool = True
    subclusters: int | None = None
    """How many subclusters its store has to have, where that is not an argument."""

    @property
    def signature(self) -> str:
        """The marker as its user writes it, with every default."""
        return f"{self.name}({', '.join(f'{p.name}={p.default!r}' for p in self.parameters)})"

    @property
    def defaults(self) -> dict[str, Any]:
        """The value of each argument that is not given."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    @property
    def variants(self) -> tuple[dict[str, Any], ...]:
        """The arguments with which the suite judges a daemon: each word of the first argument that has words."""
        for parameter in self.parameters:
            if parameter.words:
                return tuple({parameter.name: word} for word in parameter.words)
        return ({},)

    def parameter(self, name: str) -> Parameter:
        """Give the parameter of that name (KeyError when there is none)."""
        return {parameter.name: parameter for parameter in self.parameters}[name]


MOST_SUBCLUSTERS = 1000


def _not_more_missing(values: dict[str, Any]) -> str | None:
    if values["missing"] > values["subclusters"]:
        return f"missing={values['missing']} is more than subclusters={values['subclusters']}"
    return None


PHASE = "restore"
"""The phase in which a start is interrupted where none is named."""

MARKERS: dict[str, Marker] = {
    marker.name: marker
    for marker in (
        Marker(
            "missing_bundle",
            "a persisted store, then some of its bundles deleted, renamed, made a directory, truncated, or unreadable",
            (
                Parameter("subclusters", 3, least=1, most=MOST_SUBCLUSTERS),
                Parameter("missing", 1, least=1, most=MOST_SUBCLUSTERS),
                Parameter("how", "delete", ("delete", "rename", "directory", "truncate", "unreadable")),
            ),
            _not_more_missing,
        ),
        Marker(
            "bundle_fetch_error",
            "a bundle URL that cannot be fetched",
            (
                Parameter(
                    "how",
                    "missing",
                    (
                        "missing",
                        "directory",
                        "unreadable",
                        "dangling-link",
                        "link-loop",
                        "fifo",
                        "device",
                        "too-large",
                        "truncated",
                        "empty",
                        "not-a-bundle",
                    ),
                ),
            ),
        ),
        Marker(
            "legible_fatal",
            "a start that must fail",
            (
                Parameter(
                    "cause",
                    "store-corrupt",
                    (
                        "store-corrupt",
                        "store-foreign",
                        "store-newer",
                        "store-directory",
                        "log-directory",
                        "home-is-file",
                        "socket-path-too-long",
                    ),
                ),
            ),
        ),
        Marker(
            "crashed_init",
            "a daemon killed or stopped in the middle of its start",
            (Parameter("how", "kill", ("kill", "hang")), Parameter("phase", PHASE)),
        ),
        Marker("degraded_boot", "a store with exactly one missing bundle, and a daemon booted on it", subclusters=3),
        Marker(
            "stale_socket",
            "something else where the daemon's socket belongs",
            (Parameter("kind", "dead", ("dead", "file", "directory", "dangling", "live")),),
        ),
        Marker(
            "concurrent_start",
            "many callers who start the daemon at once, after its stop or after it was killed",
            (Parameter("callers", 8, least=2, most=64), Parameter("after", "stop", ("stop", "kill"))),
        ),
        Marker(
            "pid_reuse",
            "what a killed daemon left, with its pid that of another process by now",
            (Parameter("kind", "other", ("other", "look-alike")),),
        ),
        Marker(
            "store_locked",
            "a store that another process holds, in a transaction of its own",
            (Parameter("how", "exclusive", ("exclusive", "immediate", "shared")),),
        ),
        Marker(
            "full_disk",
            "a home on a disk that is full when the daemon starts, launches a subcluster, or takes a message",
            (Parameter("when", "start", ("start", "launch", "message")),),
        ),
        Marker(
            "read_only_home",
            "a home that cannot be written, or its store, or the file system on which it lies",
            (Parameter("what", "home", ("home", "store", "file-system")),),
        ),
        Marker(
            "log_unwritable",
            "a log that cannot be written: a directory in its place, no space, no permission; or all of a sudden later",
            (Parameter("how", "directory", ("directory", "full", "read-only", "later")),),
        ),
        Marker(
            "version_skew",
            "a store that says that the next version has written it, or the one before",
            (Parameter("which", "newer", ("newer", "older")),),
        ),
        Marker(
            "io_channel_conflict",
            "one more subcluster, with an IO channel, and something else at the path of that channel",
            (Parameter("kind", "live", ("live", "file", "directory")),),
        ),
        Marker(
            "long_socket_path",
            "a home whose socket has the longest path that there can be, or one byte more",
            (Parameter("length", "longest", ("longest", "too-long")),),
        ),
        Marker(
            "clock_step",
            "a daemon whose wall clock has jumped by a day since its home was used",
            (Parameter("direction", "back", ("back", "forward")),),
        ),
        Marker(
            "orphaned_worker",
            "workers of a daemon that was killed alone, running or stopped",
            (Parameter("workers", "running", ("running", "stopped")),),
        ),
        Marker(
            "kill_at_stop",
            "a daemon killed in the middle of its stop, when that had begun or when its socket was closed",
            (Parameter("when", "asked", ("asked", "closed")),),
        ),
        Marker(
            "ready_then_dies",
            "a daemon that died when it was ready, killed or crashed",
            (Parameter("how", "kill", ("kill", "crash")),),
        ),
        Marker(
            "slow_init",
            "a start that has the processor in slices only, for so many seconds",
            (Parameter("seconds", 1, least=1, most=60),),
        ),
        Marker(
            "persisted_store",
            "a store with that many launched, answered and stopped subclusters",
            (Parameter("subclusters", 3, least=0, most=MOST_SUBCLUSTERS),),
            contract=False,
        ),
    )
}
"""The markers, by their names."""
