"""The command: what it prints, and that it ends with one sentence and the right exit code."""

import subprocess
import sys

import pytest

import retroevidence as rv


def run(*words, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "retroevidence.cli", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        check=False,
    )


def test_the_version_is_that_of_the_package():
    assert run("--version").stdout.strip() == f"retroevidence {rv.__version__}"


def test_check_prints_every_claim():
    done = run("check")
    assert done.returncode == 0, done.stderr
    for claim in rv.load("claims")["claim_id"]:
        assert claim in done.stdout


def test_check_prints_one_claim_as_its_result_shows_itself():
    done = run("check", "knee_pain")
    assert done.stdout.strip() == repr(rv.check("knee_pain"))


def test_an_unknown_claim_is_one_sentence_and_exit_code_1():
    done = run("check", "knee_pian")
    assert done.returncode == 1
    assert "did you mean 'knee_pain'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_wrong_option_is_exit_code_2():
    assert run("check", "--no-such-option").returncode == 2


def test_describe_lists_tables_and_shows_a_record():
    assert run("describe").stdout.split() == rv.tables()
    assert "alghadir" not in run("describe", "arms").stdout
    assert "arm_id" in run("describe", "arms").stdout


def test_validate_is_clean_on_the_tables_that_travel_with_the_library():
    done = run("validate")
    assert (done.returncode, done.stderr) == (0, "")


def test_validate_names_file_line_column_value_and_fix(tmp_path):
    target = tmp_path / "review"
    assert run("new", str(target)).returncode == 0
    table = target / "studies.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    header = lines[0].split(",")
    cells = lines[1].split(",")
    cells[header.index("n_total")] = "many"
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n", encoding="utf-8")
    done = run("validate", str(target))
    assert done.returncode == 1
    assert "studies.csv, line 2, column n_total: 'many'" in done.stdout


def test_audit_prints_a_verdict_for_each_reference():
    done = run("audit")
    assert done.returncode == 0
    assert done.stdout.count("not located") >= 5


def test_a_review_without_references_has_none_to_audit(tmp_path):
    rv.new(tmp_path / "review")
    done = run("audit", "--data", str(tmp_path / "review"))
    assert done.returncode == 0
    assert "no reference to compare" in done.stdout


def test_audit_online_asks_for_an_address():
    done = run("audit", "--online")
    assert done.returncode == 1
    assert "--email" in done.stderr


def test_trace_prints_pages():
    done = run("trace", "knee_pain")
    assert done.returncode == 0
    assert "read at: abstract" in done.stdout
    assert done.stdout.count(", weight ") == rv.check("knee_pain").k
    unweighted = run("trace", "quad_activation")
    assert (unweighted.returncode, unweighted.stdout.count(", weight ")) == (0, 0)
    assert "read at: " in unweighted.stdout


@pytest.mark.slow
def test_a_new_review_runs_from_start_to_end(tmp_path):
    target, out = tmp_path / "review", tmp_path / "results"
    assert run("new", str(target)).returncode == 0
    before = {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()}
    done = run("reproduce", "--data", str(target), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert (out / "report.html").is_file()
    assert (out / "tables" / "claims.csv").is_file()
    after = {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()}
    assert before == after


def test_new_refuses_a_directory_that_holds_something(tmp_path):
    (tmp_path / "mine.txt").write_text("keep me", encoding="utf-8")
    done = run("new", str(tmp_path))
    assert done.returncode == 1
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "keep me"
