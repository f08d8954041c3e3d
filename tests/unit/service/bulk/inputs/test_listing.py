from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.bulk.inputs.listing import Listing
from service.bulk.inputs.path_list import MAX_PATH_BYTES
from service.bulk.inputs.source import Source
from service.errors import ConfigurationError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images at three depths and files that are no images."""
    for name in (
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "c/d.webp",
        "c/e/f.tiff",
        "c/.git/g.png",
        "h/labels.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Stream(io.RawIOBase):
    """Standard input with this content, which is read a few bytes at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._content.read(min(size, 1000))


def listed(*arguments: str, stdin: bytes | None = None, null: bool = False) -> Sequence[Source]:
    return list(Listing(arguments, None if stdin is None else Stream(stdin), null=null))


def paths(*arguments: str, stdin: bytes | None = None, null: bool = False) -> Sequence[str]:
    sources = listed(*arguments, stdin=stdin, null=null)
    assert [source.problem for source in sources] == [None] * len(sources)
    return [source.path for source in sources]


def notes(*arguments: str) -> Sequence[str]:
    listing = Listing(arguments, None, null=False)
    list(listing)
    return list(listing.skipped.notes())


def test_folder_is_searched_for_images_below_it(tree: Path) -> None:
    assert paths(".") == ["./a.JPG", "./b.png", "./c/d.webp", "./c/e/f.tiff"]
    assert paths(f"{tree}/") == [f"{tree}/a.JPG", f"{tree}/b.png", f"{tree}/c/d.webp", f"{tree}/c/e/f.tiff"]
    assert paths("c") == ["c/d.webp", "c/e/f.tiff"]


def test_named_file_is_listed_whatever_its_suffix(tree: Path) -> None:
    assert paths("notes.txt", ".hidden.png", "missing.png") == ["notes.txt", ".hidden.png", "missing.png"]


def test_file_that_is_named_twice_is_listed_twice(tree: Path) -> None:
    assert paths("c", "b.png", "b.png", "c/d.webp") == [
        "c/d.webp",
        "c/e/f.tiff",
        "b.png",
        "b.png",
        "c/d.webp",
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["b.png"]),
        ("?.*", ["a.JPG", "b.png"]),
        ("[ab].*", ["a.JPG", "b.png"]),
        (".*.png", [".hidden.png"]),
        ("*", ["a.JPG", "b.png", "c/d.webp", "c/e/f.tiff", "notes.txt"]),
        ("c/*.webp", ["c/d.webp"]),
        ("*/*/f.tiff", ["c/e/f.tiff"]),
        ("**/f.tiff", ["c/e/f.tiff"]),
        ("**/*.png", ["b.png"]),
        ("**/**/[df].*", ["c/d.webp", "c/e/f.tiff"]),
        ("c/**", ["c/d.webp", "c/e/f.tiff"]),
        ("**", ["./a.JPG", "./b.png", "./c/d.webp", "./c/e/f.tiff"]),
        ("c*", ["c/d.webp", "c/e/f.tiff"]),
    ],
)
def test_pattern_matches_as_in_a_shell(tree: Path, pattern: str, expected: Sequence[str]) -> None:
    assert paths(pattern) == expected
    assert paths(f"{tree}/{pattern}") == [f"{tree}/{path.removeprefix('./')}" for path in expected]


def test_pattern_without_a_match_has_a_problem(tree: Path) -> None:
    assert listed("*.gif") == [Source("*.gif", "no file matches this pattern")]


def test_file_whose_name_looks_like_a_pattern_is_a_file(tree: Path) -> None:
    (tree / "[ab].png").touch()
    assert paths("[ab].png") == ["[ab].png"]


def test_list_has_a_path_in_each_line(tree: Path) -> None:
    stdin = "\ufeffb.png\r\n\nc\n*.png\n a b \nlast".encode()
    assert paths("-", stdin=stdin) == ["b.png", "c/d.webp", "c/e/f.tiff", "*.png", " a b ", "last"]
    assert paths("a.JPG", "-", "b.png", stdin=b"x.png") == ["a.JPG", "x.png", "b.png"]
    assert paths("-", stdin=b"") == []


def test_list_with_nul_characters_may_contain_line_breaks(tree: Path) -> None:
    assert paths("-", stdin=b"line\nbreak.png\0\xff.png\0", null=True) == ["line\nbreak.png", "\udcff.png"]


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"a\nb\0c\n", "line 2 of standard input contains a NUL character: --null"),
        (b"a\n" + b"x" * MAX_PATH_BYTES + b"x", "path 2 of standard input has more than"),
        (b"x" * (1 << 20), "is it a list of paths, one a line"),
    ],
)
def test_stream_that_is_no_list_is_refused(stdin: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        listed("-", stdin=stdin)


@pytest.mark.parametrize(
    ("arguments", "stdin", "null"), [(("a.png",), b"", True), (("-", "-"), b"", False), (("-",), None, False)]
)
def test_arguments_that_do_not_fit_together_are_refused(
    arguments: Sequence[str], stdin: bytes | None, null: bool
) -> None:
    with pytest.raises(ConfigurationError):
        listed(*arguments, stdin=stdin, null=null)


def test_links_are_followed_but_loops_are_not(tree: Path) -> None:
    (tree / "c" / "again").symlink_to(tree)
    (tree / "c" / "e" / "self").symlink_to(".")
    (tree / "h" / "c").symlink_to(tree / "c" / "e")
    (tree / "broken.png").symlink_to("nowhere")
    (tree / "endless.png").symlink_to("endless.png")
    expected = [
        "./a.JPG",
        "./b.png",
        "./broken.png",
        "./c/d.webp",
        "./c/e/f.tiff",
        "./endless.png",
        "./h/c/f.tiff",
    ]
    assert paths(".") == expected
    assert paths("**/*.tiff") == ["c/e/f.tiff", "h/c/f.tiff"]
    assert notes(".")[-1] == "skipped 3 links to a folder that contains the link"


def test_notes_name_what_is_left_out(tree: Path) -> None:
    empty, other = notes("h", "b.png")
    assert empty == "h contains no images"
    assert other.startswith("skipped 1 file without the suffix of an image format")
    assert notes("b.png") == []
    (tree / "empty").mkdir()
    assert notes("empty", "h", "h")[0] == "empty (and 2 other folders) contains no images"


def test_unreadable_folder_has_a_problem(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("/c"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read every folder
    assert listed(".")[-1] == Source("./c", "Permission denied")
    assert Source("./c", "Permission denied") in listed("./**/*.webp")


def test_deep_folders_do_not_exhaust_the_stack(tree: Path) -> None:
    deep = tree / "deep"
    for _ in range(400):  # three recursive generators a level would be too many
        deep /= "d"
    os.makedirs(deep)
    (deep / "z.png").touch()
    assert paths("deep")[0].endswith("/d/z.png")
    assert paths("deep/**/z.png")[0].endswith("/d/z.png")


def test_count_is_a_listing_of_its_own(tree: Path) -> None:
    listing = Listing(["."], None, null=False)
    assert list(listing.count())[-1] == len(list(listing)) == 4
    assert not Listing(["-"], Stream(b""), null=False).is_repeatable
