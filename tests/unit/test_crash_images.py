"""Images of a home: which are one, and what they keep of what stands there."""

from __future__ import annotations

from pathlib import Path

import pytest
from crashes import OLD, home, search
from scripts import Script

from pytest_ocap.sweeps.crash import Image
from pytest_ocap.sweeps.crash.image import Entry, Type
from pytest_ocap.sweeps.crash.pages import Pages


def test_two_names_of_one_file_are_another_state_than_two_files_alike() -> None:
    w = Script()
    w.link("a", "b")
    w.unlink("b")
    w.open("b", create=True)
    w.write("b", 0, OLD)
    images = [s.image() for s in search(w, home(a=OLD))]
    both = [i.entries["b"].first for i in images if "b" in i.entries and i.bytes_of("b") == OLD]
    assert sorted(both, key=str) == [None, "a"]


def test_which_of_two_files_alike_has_a_second_name_makes_a_difference() -> None:
    w = Script()
    w.link("a", "b")
    w.unlink("b")
    w.link("c", "b")
    images = [s.image() for s in search(w, home(a=OLD, c=OLD))]
    assert sorted(str(i.entries["b"].first) for i in images if "b" in i.entries) == ["a", "b"]


@pytest.mark.parametrize("kind", ["socket", "link", "hard link", "fifo", "sparse"])
def test_an_image_keeps_what_stands_in_a_home(short_tmp: Path, kind: str) -> None:
    import os
    import socket

    source, copy = short_tmp / "source", short_tmp / "copy"
    source.mkdir(mode=0o750)
    (source / "file").write_bytes(b"x" * 5000)
    place = source / "thing"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(place))
    elif kind == "link":
        place.symlink_to("nowhere")
    elif kind == "hard link":
        place.hardlink_to(source / "file")
    elif kind == "fifo":
        os.mkfifo(place, 0o620)
    else:
        place.write_bytes(b"")
        os.truncate(place, 1 << 30)
    copy.mkdir()
    Image.read(source).materialise(copy) if kind != "sparse" else None
    if kind == "sparse":
        sparse = home().entries | {"thing": Entry(Type.FILE, 0o600, Pages.of(b"x").truncate(1 << 30))}
        Image(sparse).materialise(copy)
        assert (copy / "thing").stat().st_size == 1 << 30
        assert (copy / "thing").stat().st_blocks < 1000
        return
    assert Image.read(copy) == Image.read(source)
    assert copy.stat().st_mode == source.stat().st_mode
    if kind == "hard link":
        assert (copy / "thing").stat().st_nlink == 2
