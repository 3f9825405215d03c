"""What benchmarks print."""

from benchmarks.tables import find_library, print_table


def test_texts_begin_at_the_left_and_numbers_end_at_the_right(capsys):
    print_table([("name", "n", "s"), ("a", "10", "1.5"), ("longest", "5", "")], texts=(0,))
    assert capsys.readouterr().out.splitlines() == [
        "name      n    s",
        "a        10  1.5",
        "longest   5",
    ]


def test_a_library_that_is_not_there_is_named(capsys):
    assert find_library("json").loads("1") == 1
    assert capsys.readouterr().err == ""
    assert find_library("a_library_that_nobody_wrote") is None
    assert capsys.readouterr().err == "a_library_that_nobody_wrote is not installed: left out.\n"
