"""Tables of one label a text: no row is lost silently, doubtful labels are named, equal texts never stand on both sides."""

import random
from collections import Counter

import pytest
from table_files import every_row, labels_of, numbered, read, refused, sizes, write_table

from halfbert.data.cells import cell_text, name_text
from halfbert.data.checks import group_by_text
from halfbert.data.splits import stratified_sample

FAMILY, RAINBOW, WANT = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f3f3\ufe0f\u200d\U0001f308", "می\u200cخواهم"
INVISIBLE = "\u200b\ufeff\u2060\u00ad\u200e\u200f\u202b\u2066\u200d\u200c\ufe0f\u180e\u034f\u3164\U000e0041\x08\x7f"


@pytest.fixture
def table(tmp_path):
    """Write a csv file of texts and labels."""
    return lambda records, name="t.csv": write_table(tmp_path / name, records)


# Missing cells.


def test_missing_cells_are_named_or_dropped(table):
    records = numbered(40)
    for index, blank in enumerate(("", " ", "\u200b", "\u00a0\ufeff", "\u2800", "\u3164\x08", "\n")):
        records[index][1] = blank
    records[10][0] = " \u2060 "
    path = table(records)
    refused(path, "column 'text' is empty or blank in 1 line: line 1", "--drop-missing")
    data = read(path, drop_missing=True)
    assert data.counts["dropped_missing"] == 8 and len(every_row(data)) == 32
    assert [note for note in data.notes if "dropped 8 rows" in note]
    records[10][0] = "back"
    refused(table(records), "column 'label'", "7 lines: line 2, 3, 4, 5, 6 and 2 more")
    refused(table([["a", ""], ["", "b"]]), "no row with both", drop_missing=True)
    assert cell_text(WANT, "") == WANT and cell_text(FAMILY + "\u200b", "") == FAMILY + "\u200b"  # texts stay as they are


# Labels.


@pytest.mark.parametrize(
    ("spellings", "labels"),
    [
        (["0", "1", "1.0", "1 "], ["0", "1"]),
        (["01", "1", "001"], ["001", "01", "1"]),
        (["1.0", "1.1", "1.10"], ["1.0", "1.1", "1.10"]),
        (["1.0", "2.0", "1.0.1"], ["1.0", "2.0", "1.0.1"]),
        (["1.10", "1.0", "1"], ["1", "1.10"]),
        (["1.0", "1.5"], ["1", "1.5"]),
        (["10", "9", "-1", "other", "007"], ["-1", "007", "9", "10", "other"]),
        (["5%", "$5", "5", "€5.00"], ["5", "$5", "5%", "€5.00"]),
        (["TRUE", "True", "true", "TRUE", "no"], ["TRUE", "no"]),
        (["2020-01-02", "2020-01-02 00:00:00", "2020-01-02T00:00", "x"], ["2020-01-02", "x"]),
        (["2020-01-02 10:30", "2020-01-02T10:30:00.0", "x"], ["2020-01-02 10:30:00", "x"]),
        (["02/01/2020", "01/02/2020"], ["01/02/2020", "02/01/2020"]),
        (["spam\u00a0", "\u00a0spam", "ham"], ["ham", "spam"]),
        (["a b", "a\nb", "a \r\n b", "x"], ["a b", "x"]),
        (["❤", "❤\ufe0f", "❤\ufe0f", "x"], ["x", "❤\ufe0f"]),
        ([FAMILY, RAINBOW, WANT, "क्\u200d", "x"], ["x", WANT, "क्\u200d", RAINBOW, FAMILY]),
        ([WANT, WANT + "\u200c", WANT.replace("\u200c", "\u200c\u200c"), "x"], ["x", WANT]),
        *([["spam", f"sp{sign}am", f"spam{sign}", f"{sign}spam", "ham"], ["ham", "spam"]] for sign in INVISIBLE),
    ],
)
def test_spellings_of_one_label_are_merged_and_noted(table, spellings, labels):
    data = read(table(numbered(60, spellings)))
    assert data.labels == labels
    merged = len(spellings) - len(set(map(name_text, labels_of(data)))) > 0
    assert data.counts["labels_merged"] == int(merged) == sum("read as one label each" in note for note in data.notes)
    if not merged:
        assert bool(data.notes) == (set(spellings) != set(labels))  # "1.0" that is read as "1"


def test_a_label_of_many_spellings_is_noted_and_the_one_that_most_training_rows_have(table):
    data = read(table(numbered(40, ["0", "1", "1.0", "1\u200b"])))
    assert data.notes == ['read as one label each: "1" (10 rows) and "1.0" (10 rows) and "1\\u200b" (10 rows)']
    notes = read(table(numbered(30, ["0.0", "1.0", "a\nb"]))).notes
    assert notes == ['read the label "0.0" as "0", "1.0" as "1", "a\\nb" as "a b"']
    train, test = table(numbered(30, ("True", "no"))), table(numbered(60, ("TRUE", "no"), "other"), "test.csv")
    assert read(train, test=test).labels == ["True", "no"]
    assert read(test, test=train).labels == ["TRUE", "no"]


@pytest.mark.parametrize(
    ("one", "two", "reason"),
    [
        ("Spam", "spam", "letter case or white space only"),
        ("not  spam", "not spam", "letter case or white space only"),
        ("not spam", "notspam", "letter case or white space only"),
        ("not spam", "Not\u00a0spam", "letter case or white space only"),
        (
            "Caf\u00e9",
            "Cafe\u0301",
            "Unicode form only (U+00E9 LATIN SMALL LETTER E WITH ACUTE against U+0065",
        ),
        ("1", "１", "Unicode form only (U+0031 DIGIT ONE against U+FF11 FULLWIDTH DIGIT ONE)"),
        ("ﬁne", "fine", "U+FB01 LATIN SMALL LIGATURE FI"),
        (WANT, WANT.replace("\u200c", ""), "invisible characters only (U+200C ZERO WIDTH NON-JOINER against nothing)"),
    ],
)
def test_labels_that_look_alike(table, one, two, reason):
    refused(table(numbered(30, ("ham", one, two))), "(10 rows, first ", "line 3)", "line 4)", reason)
    test = table(numbered(6, ("ham", two), word="other"), "test.csv")
    refused(table(numbered(30, ("ham", one))), "t.csv line 3", f'"{two}" (3 rows', "test.csv line 3", reason, test=test)


@pytest.mark.parametrize("role", ["val", "test"])
def test_unseen_label(table, role):
    train = table(numbered(30))
    other = table([*numbered(6, word="other"), ["new", "neutral"]], "other.csv")
    refused(train, "other.csv, line 8", '"neutral"', "t.csv", **{role: other})
    other = table([*numbered(6, word="other"), ["new", "long\n" * 100]], "other.csv")
    assert len(refused(train, "long long", "...", **{role: other})) < 400 + len(str(train)) * 2
    train, other = table(numbered(30, ["2020-01-02", "2020-02-03"])), table([["new", "02.01.2020"]], "other.csv")
    refused(train, '"02.01.2020"', "day and month are not guessed", "YYYY-MM-DD", **{role: other})


def test_columns_that_hold_no_labels(table):
    records = [[f"text {index}", f"{index / 7:.3f}"] for index in range(50)]
    refused(table(records), "50 different values in 50 rows", "is it the label column?")
    refused(table(records[:49]), "too few different texts")
    refused(table(numbered(30, ("neg",))), "one label only")


# Equal texts.


def test_equal_texts_stay_on_one_side(table):
    records = []
    for text, label in numbered(60):
        records += [[text, label], [f" {text.upper()} ", label], [text.replace(" ", "\u200b  "), label]]
    random.Random(1).shuffle(records)
    path = table(records)
    for seed in range(5):
        data = read(path, seed=seed)
        train, val, test = (group_by_text(part).keys() for _, part in data.parts())
        assert not train & val and not train & test and not val & test
        assert len(every_row(data)) == 180
    assert data.counts["duplicates"] == 120
    assert any("120 rows repeating" in note for note in data.notes)


def test_one_text_under_two_labels_is_counted_and_kept(table):
    clean = read(table(numbered(30)))
    names = ["conflicting_texts", "dropped_missing", "duplicates", "formula_texts", "labels_merged", "leaks_dropped"]
    assert clean.notes == [] and clean.counts == dict.fromkeys(names, 0)
    data = read(table([*numbered(30), ["TEXT number 0", "pos"]]))
    assert data.counts["conflicting_texts"] == 1 and len(every_row(data)) == 31
    assert any("more than one label" in note and "2, 32" in note for note in data.notes)


@pytest.mark.parametrize(("keep", "verb", "kept"), [(False, "dropped", [40, 7, 8]), (True, "kept", [42, 8, 8])])
def test_leaks_are_dropped_from_train_and_val_and_never_from_test(table, keep, verb, kept):
    train = table([*numbered(40), ["Shared  ONE", "neg"], ["shared\u200b two", "pos"]], "train.csv")
    val = table([*numbered(6, word="val"), ["shared two", "pos"], ["shared three", "neg"]], "val.csv")
    test = table([*numbered(6, word="test"), ["shared one", "neg"], ["Shared three\ufeff", "neg"]], "test.csv")
    data = read(train, val=val, test=test, keep_leaks=keep)
    assert sizes(data) == kept and data.train.numbers == list(range(2, 2 + kept[0]))
    assert "shared two" in data.val.texts and ("shared three" in data.val.texts) is keep
    assert {name: count for name, count in data.counts.items() if "leaks" in name} == {f"leaks_{verb}": 3}
    assert [note.split("csv: ")[1].split(" row")[0] for note in data.notes] == [f"{verb} 1", f"{verb} 2"]


def test_leaks_that_leave_nothing_are_named(table):
    path = table(numbered(30))
    refused(path, "every text also stands in", test=path)
    test, val = table([*numbered(6, word="test"), ["leaked", "neg"]], "test.csv"), table(numbered(6, word="val"), "val.csv")
    refused(table([*numbered(30), ["leaked", "rare"]]), '"rare" has 0', val=val, test=test)


# Splitting and sampling.


def shares(rows):
    return {label: pytest.approx(count / len(rows), abs=0.01) for label, count in Counter(rows.labels).items()}


def test_three_parts_are_stratified_by_the_seed_and_have_each_label(table):
    path = table(numbered(1000, ("a", "a", "a", "b", "c")))
    data = read(path, seed=3)
    assert sizes(data) == [800, 100, 100] and len(set(every_row(data))) == 1000
    assert all(shares(part) == {"a": 0.6, "b": 0.2, "c": 0.2} for _, part in data.parts())
    assert data == read(path, seed=3)
    labels = [f"label{index:02}" for index in range(20)]  # of three texts each
    assert all(sorted(part.labels) == labels for _, part in read(table(numbered(60, labels), "few.csv")).parts())
    # Published records name a seed, not rows, so that the split of a seed must never change.
    small = read(table(numbered(40, ("a", "b", "a")), "small.csv"), seed=7)
    assert (small.val.numbers, small.test.numbers) == ([10, 22, 25, 36], [8, 17, 20, 33])
    assert all(getattr(data, part).numbers != getattr(read(path, seed=4), part).numbers for part in ("val", "test"))


def test_a_given_file_is_used_whole_and_the_other_is_split_off(table):
    train, other = table(numbered(1000), "train.csv"), table(numbered(50, word="other"), "other.csv")
    with_test, with_val = read(train, test=other), read(train, val=other)
    assert sizes(with_test) == [900, 100, 50] and sizes(with_val) == [900, 50, 100]
    assert with_test.test.file == str(other) and with_test.val.file == str(train)
    assert with_val.val.texts == [text for text, _ in numbered(50, word="other")]


@pytest.mark.parametrize(("given", "needed"), [((), 3), (("test",), 2), (("val",), 2), (("val", "test"), 1)])
def test_label_with_too_few_texts(table, given, needed):
    files = {role: table(numbered(6, word=role), f"{role}.csv") for role in given}
    enough = [[f"rare {index}", "rare"] for index in range(needed)]
    assert "rare" in read(table(numbered(30) + enough), **files).train.labels
    if needed > 1:
        too_few = [*enough[:-1], [enough[0][0].upper(), "rare"]]  # a text written in two ways is one text
        refused(table(numbered(30) + too_few), f'"rare" has {needed - 1}', f"{needed} are needed", "merge", **files)


def test_rows_samples_train_shrinks_val_and_leaves_test(table):
    path = table(numbered(3000, ("a", "a", "b")))
    whole, sampled = read(path), read(path, rows=1200)
    assert sizes(sampled) == [1200, 150, 300] and sampled.test == whole.test
    assert shares(sampled.train) == {"a": pytest.approx(2 / 3, abs=0.01), "b": pytest.approx(1 / 3, abs=0.01)}
    assert set(sampled.train.numbers) < set(whole.train.numbers) and set(sampled.val.numbers) < set(whole.val.numbers)
    assert len(read(path, rows=300).val) == 100  # not in proportion, which would be 38
    assert len(read(path, rows=60).val) == 30  # nor more than half the training rows
    tested = read(path, test_rows=40)
    assert sizes(tested) == [2400, 300, 40] and Counter(tested.test.labels) == {"a": 27, "b": 13}


def test_small_samples_keep_every_label_and_sizes_that_cannot_be_had_are_named(table):
    path = table(numbered(100))
    refused(path, "--test-rows 0", test_rows=0)
    refused(path, "--rows 3", "at least 4", rows=3)
    assert len(read(path, rows=4).train) == 4
    labels = [f"label{index}" for index in range(60)]
    assert len(read(table(numbered(1800, labels), "u.csv"), rows=120).val) == 120  # two rows for each
    assert len(read(table(numbered(200, labels[:4]), "u.csv"), rows=50).val) == 20  # all there are
    sampled = read(table([*numbered(500), *numbered(3, ("rare",), word="rare")], "u.csv"), rows=6)
    assert set(sampled.train.labels) == {"neg", "pos", "rare"} and len(sampled.train) == 6
    data = read(path, rows=5000, test_rows=400)
    assert sizes(data) == [80, 10, 10]
    for requested, there in (("5,000 train rows", "all 80"), ("400 test rows", "all 10")):
        assert [note for note in data.notes if requested in note and there in note]


def test_stratified_sample_keeps_shares_and_size():
    labels = ["a"] * 90 + ["b"] * 9 + ["c"]
    for size in range(1, 101):
        drawn = stratified_sample(labels, size, seed=size)
        assert len(set(drawn)) == len(drawn) == size and drawn == sorted(drawn)
        assert size < 3 or {labels[index] for index in drawn} == {"a", "b", "c"}
    assert Counter(labels[index] for index in stratified_sample(labels, 50, 0)) == {"a": 45, "b": 4, "c": 1}
