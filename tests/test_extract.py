"""Candidates from abstracts: what is read, where it stands, what it is linked to, what is left."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from retroevidence.cli import extraction as commands
from retroevidence.errors import RetroEvidenceError
from retroevidence.loaders.extraction.arm_names import arms_of
from retroevidence.loaders.extraction.candidates import CANDIDATE_COLUMNS, write_candidates
from retroevidence.loaders.extraction.extract import extract
from retroevidence.loaders.extraction.numbers import declared_form, mentions
from retroevidence.loaders.extraction.sources import records_of
from retroevidence.loaders.extraction.vocabulary import vocabulary
from retroevidence.loaders.record import read_record
from retroevidence.loaders.scaffold import new
from retroevidence.loaders.tables import load

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def program():
    spec = importlib.util.spec_from_file_location("extraction", BENCHMARKS / "extraction.py")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up by name.
    import sys

    sys.modules["extraction"] = module
    spec.loader.exec_module(module)
    return module


PROGRAM = program()
ABSTRACTS = [one for which in PROGRAM.SETS for one in PROGRAM.abstracts(which)]


def read(text: str) -> list[tuple[str, dict]]:
    return [(m.kind, m.said) for m in mentions(text, 0, len(text), declared_form(text))]


def test_a_rerun_of_the_benchmark_gives_the_table_on_file():
    table = pd.read_csv(BENCHMARKS / "extraction.csv")
    pd.testing.assert_frame_equal(PROGRAM.result(), table, check_dtype=False)


def test_at_least_forty_abstracts_and_a_third_of_them_held_out():
    held_out = PROGRAM.abstracts("heldout")
    assert len(ABSTRACTS) >= 40
    assert 3 * len(held_out) >= len(ABSTRACTS)
    texts = [text for _, text, _ in ABSTRACTS]
    assert len(set(texts)) == len(texts)
    # Every annotation must stand where it says, and no markup must be left.
    for _, text, gold in ABSTRACTS:
        assert not re.search(r"[{}|]", text)
        assert all(0 <= one.start < one.end <= len(text) for one in gold)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text, _ in ABSTRACTS])
def test_text_and_positions_are_those_of_the_abstract(name, text):
    for row in extract(text).to_dict("records"):
        assert text[row["start"] : row["end"]] == row["text"]
        for part in row["spans"].split("; "):
            column, _, place = part.rpartition(" ")
            low, high = (int(n) for n in place.split("-"))
            assert 0 <= low < high <= len(text)
            assert column in (*CANDIDATE_COLUMNS, "chi2", "z", "df")


def test_rows_keep_the_rules_of_the_tables():
    """Columns and allowed values are those of the record: what is proposed can be appended."""
    record = read_record()
    found = pd.concat([extract(text, study_id="rose2018") for _, text, _ in ABSTRACTS])
    for name in ("arms", "contrasts"):
        rows = found[found["table"] == name]
        fields = record.resource(name).fields
        own = {field.name for field in fields} - {"arm_id", "contrast_id", "extractor", "exclude"}
        assert own - set(CANDIDATE_COLUMNS) == {"exclude_reason"}
        for field in fields:
            if field.enum and field.name in rows and field.name not in ("task", "extractor"):
                assert set(rows[field.name].dropna()) <= set(field.enum), field.name
    assert found["candidate_id"].is_unique
    assert found["accept"].isna().all()
    assert found["initials"].isna().all()


def test_the_same_abstract_gives_the_same_candidates():
    text = ABSTRACTS[0][1]
    pd.testing.assert_frame_equal(extract(text), extract(text))
    assert set(extract(text)["candidate_id"]).isdisjoint(extract(text + " ")["candidate_id"])


@pytest.mark.parametrize(
    ("text", "op", "p"),
    [
        ("p < .05", "<", 0.05),
        ("P=0·03", "=", 0.03),
        ("p=0,64", "=", 0.64),
        ("P ≤ 0.001", "<", 0.001),
        ("p ≥ 0.2", ">", 0.2),
        ("ps < .01", "<", 0.01),
        ("p-value = 0.5", "=", 0.5),
        ("P for interaction = 0.02", "=", 0.02),
        ("p = 0.000", "=", 0.0),
        ("P = 1.3 × 10-4", "=", 1.3e-4),
        ("p less than 0.05", "<", 0.05),
        ("p=3.2e-05", "=", 3.2e-5),
    ],
)
def test_forms_of_p(text, op, p):
    [(kind, said)] = read(text)
    assert (kind, said["op"]) == ("p", op)
    # The power of ten is multiplied out, which may turn the last bit.
    assert said["v"] == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize("minus", "-−–‐‑")
def test_every_sign_that_stands_for_minus(minus):
    text = f"mean difference {minus}6.2, 95% CI {minus}8.9 to {minus}3.5"
    assert read(text) == [("interval", {"m": -6.2, "lo": -8.9, "hi": -3.5})]


@pytest.mark.parametrize(
    "text",
    [
        "1.2 (95% CI 0.4 to 2.0)",
        "1.2 (95% CI, 0.4-2.0)",
        "1.2 [95% confidence interval: 0.4, 2.0]",
        "1.2; 95 % CI = 0.4–2.0",
        "1.2 cm (CI95% 0.4 - 2.0 cm)",
        "MD (95% CI) = 1.2 (0.4, 2.0)",
        "1.2, 95% CI [0.4; 2.0]",
    ],
)
def test_forms_of_an_interval(text):
    [(kind, said)] = read(text)
    assert (kind, said) == ("interval", {"m": 1.2, "lo": 0.4, "hi": 2.0})


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("2.3 ± 0.9", "sd"),
        ("2.3 +/- 0.9", "sd"),
        ("2.3 (± 0.9)", "sd"),
        ("2.3 (SD 0.9)", "sd"),
        ("2.3 (SE = 0.9)", "se"),
        ("M = 2.3, SD = 0.9", "sd"),
        ("Values are mean ± SEM: 2.3 ± 0.9", "se"),
        ("Data are mean (SD). It was 2.3 (0.9)", "sd"),
    ],
)
def test_forms_of_a_mean_with_its_spread(text, spread):
    [(kind, said)] = read(text)
    assert (kind, said) == (f"mean_{spread}", {"m": 2.3, spread: 0.9})


@pytest.mark.parametrize(
    "text",
    [
        "Forty adults aged 58.4 ± 6.2 years took part.",
        "mean age +/- SD, 24.0 +/- 3.4 years",
        "They trained between March 2015 and May 2017.",
        "The significance level was set at p < 0.05.",
        "Statistical significance was accepted at P ≤ .05.",
        "95% confidence intervals were calculated with 80% power.",
        "Adherence was 87%. Retention was 95%.",
        "10 mg once daily; 6 mg/kg; 3 to 5 sessions of 20 minutes",
        "women (53% female; BMI 27.3 ± 3.9 kg/m2)",
        "They walked at 60% of VO2max at a 10% grade.",
        "registered as NCT01234567; blood pressure 120/80 mm Hg",
        "ηp² = .12; r = 0.45; I2 = 78%",
    ],
)
def test_what_looks_like_a_result_and_is_none(text):
    table = extract(text)
    assert table.empty, table[["result", "text"]]


def test_an_interval_of_another_level_does_not_fill_the_columns_of_95_percent():
    text = "Pain was lower (mean difference -1.2, 90% CI -2.0 to -0.4) than in controls."
    row = extract(text).iloc[0]
    assert row["estimate"] == -1.2
    assert pd.isna(row["ci_low"])
    assert "level 90" in row["why"]


def test_direction_is_turned_by_the_scale_and_by_who_is_spoken_of():
    arms = "the retro group (n = 9) and the control group (n = 9)"
    better = extract(f"VAS pain improved more in the retro group than in controls; {arms}.")
    row = better[better["table"] == "contrasts"].iloc[0]
    assert (row["direction"], row["favours"]) == ("lower", "experimental")
    turned = extract(f"The control group had higher VAS scores than the retro group; {arms}.")
    row = turned[turned["table"] == "contrasts"].iloc[0]
    assert (row["direction"], row["favours"]) == ("lower", "experimental")
    assert "turned round" in row["why"]


def test_hr_is_a_hazard_ratio_or_a_heart_rate():
    hazard = extract("Death was less frequent with exercise (HR 0.61, 95% CI 0.40 to 0.93).")
    assert hazard["result"].tolist() == ["ratio"]
    assert hazard["instrument"].tolist() == ["mortality"]
    rate = extract("HR was higher (p < .05) when walking backward than forward.")
    assert rate["outcome"].tolist() == ["heart_rate"]


def test_people_of_an_arm_fill_its_rows():
    found = extract(ABSTRACTS[0][1])
    arms = found[found["table"] == "arms"]
    assert arms["n"].tolist() == [20, 20]
    contrasts = found[found["table"] == "contrasts"]
    assert contrasts["n_experimental"].tolist() == contrasts["n_comparator"].tolist() == [20]


def test_doubts_lower_the_confidence():
    found = pd.concat([extract(text) for _, text, _ in ABSTRACTS[:20]])
    doubts = found["why"].fillna("").map(lambda why: len(why.split("; ")) if why else 0)
    words = doubts.clip(upper=2).map({0: "high", 1: "medium", 2: "low"})
    assert (found["confidence"] == words).all()


def test_every_word_of_the_vocabulary_finds_its_own_term():
    words = vocabulary()
    for word, term in words.terms.items():
        found = words.find(word)
        assert found, word
        assert found[0].term == term or found[0].end < len(word), word
        assert term.higher_is in ("better", "worse", "neutral", ""), word
        if term.outcome:
            assert term.outcome in words.outcomes, word


def test_a_review_brings_its_own_instruments(tmp_path):
    review = new(tmp_path / "review")
    assert not vocabulary(review).find("The zorp index fell.")
    arms = review / "arms.csv"
    arms.write_text(arms.read_text().replace("visual analogue scale", "zorp index"))
    [named] = vocabulary(review).find("The zorp index fell.")
    assert (named.term.outcome, named.term.instrument) == ("pain", "zorp index")
    row = extract("The zorp index fell (p < .05).", data=review).iloc[0]
    assert (row["outcome"], row["direction"]) == ("pain", "lower")


def test_arms_are_named_once():
    arms = arms_of(
        "We compared backward treadmill training (BTT, n = 10) with overground walking (n = 11). "
        "The backward group and the BTT group are one; the overground group is the other."
    )
    assert [arm.role for arm in arms] == ["experimental", "comparator"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                *("pain", "VAS", "(", ")", "[", "p < .05", "2.3 ± 0.9", "and", "vs", "95% CI"),
                *("1 to 2", "n = 9", "group", "the", "retro", "control", ";", ". Then", "12%"),
                *("RESULTS:", "higher", "no difference", "−", "4/9", "from", "F(1,2) = 3", "é"),
                *("respectively", "\n"),
            )
        ),
        max_size=25,
    )
)
def test_no_text_breaks_it(words):
    text = " ".join(words)
    if text.strip():
        for row in extract(text).to_dict("records"):
            assert text[row["start"] : row["end"]] == row["text"]


@pytest.mark.parametrize("piece", ["1 ", "(", "2.1 ± 0.3 and ", "p = 0.05; ", "the walking group "])
def test_long_texts_take_no_time(piece):
    # 200 repeats of one form in one sentence: a rule that goes back and forth would take minutes.
    assert len(extract("warm " + piece * 200)) >= 0


def test_an_empty_abstract_is_refused():
    with pytest.raises(RetroEvidenceError, match="no abstract"):
        extract({"abstract": pd.NA})
    with pytest.raises(RetroEvidenceError, match="no abstract"):
        extract("  ")


# --- sources and file ------------------------------------------------------------------------


class Client:
    """Stands for a client of PubMed: it has one method that is used."""

    def fetch(self, ids):
        rows = [
            {
                "pmid": pmid,
                "title": "A title",
                "abstract": "Pain (VAS) fell (p < .05).",
                "doi": None,
            }
            for pmid in ids
        ]
        return pd.DataFrame(rows).astype("string")


def test_sources_are_ids_texts_and_files_of_references(tmp_path):
    (tmp_path / "one.txt").write_text("Pain fell (p < .05).", encoding="utf-8")
    known = load("studies")["study_id"].iloc[0]
    (tmp_path / "two.ris").write_text(
        "TY  - JOUR\nAU  - Kale, A\nPY  - 2020\nTI  - T\nAB  - Pain fell (p = 0.04).\n"
        "DO  - 10.1/x\nER  - \n",
        encoding="utf-8",
    )
    sources = ["99999999", str(tmp_path / "one.txt"), str(tmp_path / "two.ris")]
    records = records_of(sources, pubmed=Client())
    assert records["source"].tolist() == ["one.txt", "two.ris", "PubMed 99999999"]
    assert records["abstract"].notna().all()
    assert records["study_id"].isna().all(), known
    with pytest.raises(RetroEvidenceError, match="--email"):
        records_of(["12345"])
    with pytest.raises(RetroEvidenceError, match="no file and no PubMed id"):
        records_of(["nothing.txt"])


def test_a_known_work_has_its_key():
    from retroevidence.loaders.bibliography import bibliography

    known = bibliography()
    known = known[known["pmid"].notna()].iloc[0]
    records = records_of([known["pmid"]], pubmed=Client())
    assert records["study_id"].tolist() == [known["key"]]


def test_the_file_keeps_printed_digits_and_is_never_overwritten(tmp_path):
    text = "VAS was 2.30 ± 0.90 in the retro group and −1.50 ± 1.0 in controls (P = .040)."
    file = write_candidates(extract(text), tmp_path / "candidates.csv")
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    assert table["mean"].tolist()[:2] == ["2.30", "-1.50"]
    assert table["sd"].tolist()[:2] == ["0.90", "1.0"]
    assert table["p_value"].tolist()[-1] == "0.040"
    with pytest.raises(RetroEvidenceError, match="may hold decisions"):
        write_candidates(extract(text), file)


def test_the_command_writes_candidates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.txt").write_text(ABSTRACTS[0][1], encoding="utf-8")
    app = typer.Typer()
    app.command()(commands.extract)
    done = CliRunner().invoke(app, ["one.txt", "--study", "kale2020"])
    assert done.exit_code == 0, done.output
    assert "3 candidates" in done.output
    table = pd.read_csv("candidates.csv")
    assert set(table["study_id"]) == {"kale2020"}
    assert set(table["source_url"]) == {"no address: text file one.txt"}
    again = CliRunner().invoke(app, ["one.txt"])
    assert isinstance(again.exception, RetroEvidenceError)
