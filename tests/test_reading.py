"""Files that users hand in: what is accepted at the limit, and what is said beyond it."""

import pytest

from detr_steps.reading import MEBIBYTE, MOST_SIDE, check_side, one_line, plain_file, read_text


def sized(path, size):
    """A file of so many bytes, which takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_file_may_be_as_long_as_its_limit(tmp_path):
    limit = 2 * MEBIBYTE
    assert plain_file(sized(tmp_path / "a", limit), limit) == tmp_path / "a"
    with pytest.raises(ValueError, match=r"a file of at most 2 MiB, found 3 MiB$"):
        plain_file(sized(tmp_path / "b", 3 * MEBIBYTE), limit)
    with pytest.raises(ValueError, match="at most 2 MiB, found 2 MiB"):
        plain_file(sized(tmp_path / "c", limit + 1), limit)
    assert plain_file(sized(tmp_path / "d", 2**33)).stat().st_size == 2**33


def test_a_text_is_no_longer_than_64_mebibytes(tmp_path):
    with pytest.raises(ValueError, match="at most 64 MiB, found 64 MiB"):
        read_text(sized(tmp_path / "a", 64 * MEBIBYTE + 1))


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^PosixPath|^WindowsPath"):
        plain_file(tmp_path / "a\0b")


@pytest.mark.parametrize("side", [1, 800, MOST_SIDE])
def test_a_side_is_a_number_of_pixels(side):
    assert MOST_SIDE == 4096
    check_side(side, "place")


@pytest.mark.parametrize("side", [0, MOST_SIDE + 1, 1.5, True, "800", None])
def test_another_side_is_refused(side):
    with pytest.raises(ValueError, match=r"^place: expected a whole number of pixels in 1\.\.4096"):
        check_side(side, "place")


def test_a_long_text_becomes_a_short_line():
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("word " * 100) == ("word " * 40)[:200] and one_line("abc", 2) == "ab"
