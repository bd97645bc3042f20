"""Configurations: what a file says, what it may leave out, and how each mistake is named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from registry.errors import SettingsError, UnknownName, UsageError
from registry.settings import Settings
from training.configuration import MEASURES, Configuration, read
from training.cross_validation import FOLDS
from training.data.sample import Sample
from training.estimators import ESTIMATORS
from training.job import Plan
from training.parameter import resolve
from training.tabular import RANDOM_STATE, TEST_SIZE
from training.workloads import by_name, find, get
from training.workloads.tabular import WORKLOADS, configured

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tabular.md").read_text(encoding="utf-8")

CHURN = """
estimator = "RandomForestClassifier"
metrics = ["f1", "accuracy"]
test_size = 0.3

[parameters]
n_estimators = 20

[data]
features = ["age", "calls"]
target = "left"
classes = ["no", "yes"]
"""
RENT = """
estimator = "Ridge"
metrics = ["mae"]

[data]
features = ["rooms"]
target = "rent"
"""


def written(folder: Path, text: str, name: str = "churn.toml") -> Path:
    """A file of this content."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def said(folder: Path, text: str, name: str = "churn.toml") -> Configuration:
    """What such a file says."""
    path = written(folder, text, name)
    return Configuration.of(read(path), where=str(path))


def defaults(configuration: Configuration) -> dict[str, object]:
    """Its parameters with their values."""
    return {one.name: one.default for one in configuration.parameters}


def test_a_file_that_says_little_is_complete(tmp_path: Path) -> None:
    """Names come from the file's, the rest from defaults; only what it sets is a parameter."""
    churn = said(tmp_path, CHURN)
    assert (churn.name, churn.experiment, churn.model) == ("churn", "churn-pipeline", "churn")
    assert defaults(churn) == {
        "n_estimators": 20,
        "test_size": 0.3,
        "random_state": 42,
        "cv_folds": 5,
    }
    assert (churn.scale, churn.series, churn.metrics) == (False, "", ("f1", "accuracy"))


def test_a_file_can_say_everything(tmp_path: Path) -> None:
    """Each key arrives where it belongs."""
    top = 'name = "rent-2"\nexperiment = "Rents, monthly"\nmodel = "rents"\nscale = true\n'
    more = "random_state = 7\ncv_folds = 0\ntest_size = 0.5\n"
    end = 'series = "diabetes"\n[parameters]\nalpha = 2\npositive = true\n'
    rent = said(tmp_path, top + more + RENT + end)
    assert (rent.name, rent.experiment, rent.model) == ("rent-2", "Rents, monthly", "rents")
    assert (rent.scale, rent.series, rent.classes) == (True, "diabetes", ())
    values = defaults(rent)
    assert values == {
        "alpha": 2.0,
        "positive": True,
        "test_size": 0.5,
        "random_state": 7,
        "cv_folds": 0,
    }
    assert type(values["alpha"]) is float


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("RandomForestClassifier", "XGBClassifier", "estimator: expected one of Logistic"),
        ('"RandomForestClassifier"', "3", "got 3"),
        ('estimator = "RandomForestClassifier"', "", "estimator: expected one of .*, got nothing"),
        ("n_estimators", "trees", "parameters.trees: expected one of class_weight, criterion, "),
        ("n_estimators", "trees", "got an unknown parameter of RandomForestClassifier"),
        ("= 20", '= "20"', "parameters.n_estimators: expected int, got '20'"),
        ("= 20", "= 20.5", "parameters.n_estimators: expected int, got 20.5"),
        ("= 20", "= true", "parameters.n_estimators: expected int, got True"),
        ("= 20", "= 0", "parameters.n_estimators: expected at least 1, got 0"),
        ("= 20", '= 20\ncriterion = "mse"', "parameters.criterion: expected gini or entropy or"),
        ('["f1", "accuracy"]', '["f1", "rmse"]', "metrics: expected metrics of a classification"),
        ('["f1", "accuracy"]', '["f1", "rmse"]', "accuracy, f1, got 'rmse'"),
        ('["f1", "accuracy"]', '["auc"]', "accuracy, f1, got 'auc'"),
        ('["f1", "accuracy"]', "[]", "metrics: expected a list of at least 1 different"),
        ('["f1", "accuracy"]', '["f1", "f1"]', "metrics: .* got 'f1' twice"),
        ('["f1", "accuracy"]', '"f1"', "metrics: .* got 'f1'"),
        ("test_size = 0.3", "test_size = 1.5", "test_size: expected at most 0.9, got 1.5"),
        ("test_size = 0.3", "test_size = nan", "test_size: expected at least 0.05, got nan"),
        ("test_size = 0.3", "cv_folds = 1", "cv_folds: expected 0 .none. or at least 2, got 1"),
        ("test_size = 0.3", "random_state = -1", "random_state: expected at least 0, got -1"),
        ("test_size = 0.3", "scale = 1", "scale: expected true or false, got 1"),
        ("test_size = 0.3", "tets_size = 0.3", "tets_size: expected one of .*test_size, got an"),
        ("test_size = 0.3", 'name = "a/b"', "name: expected letters, digits, .*, got 'a/b'"),
        ("test_size = 0.3", 'model = ""', "model: expected letters, digits"),
        ("test_size = 0.3", 'experiment = " "', "experiment: expected a text that is not empty"),
        ("[parameters]\nn_estimators = 20", "parameters = 20", "parameters: expected a table, got"),
        ("[data]", "[dates]", "data: expected a table, got nothing"),
        ('["age", "calls"]', "[]", "data.features: expected a list of at least 1 diff"),
        ('["age", "calls"]', '["age", 3]', "data.features: expected a list"),
        ('["age", "calls"]', '["age", " Age"]', "data.features: .*, got ' Age' twice|'age' twice"),
        ('["age", "calls"]', '["ds"]', "data.features: expected columns of numbers"),
        ('["age", "calls"]', '["Left"]', "data.target: expected a column that is not one of the"),
        ('target = "left"', "", "data.target: expected a text that is not empty, got nothing"),
        ('classes = ["no", "yes"]', "", "data.classes: expected a list of at least 2 .*, got noth"),
        ('["no", "yes"]', '["no"]', "data.classes: expected a list of at least 2 diff"),
        ('["no", "yes"]', '["no", "No "]', "data.classes: .* twice"),
        ("[data]", '[data]\nseries = "wines"', "data.series: expected one of usd_brl, .*'wines'"),
        ("[data]", '[data]\nfile = "x.csv"', "data.file: expected one of classes, features"),
        ("[data]", "[data", r"not TOML: .*line 9"),
    ],
)
def test_a_mistake_is_named_by_file_key_expected_and_got(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    """Whatever it is, before anything runs."""
    assert old in CHURN
    with pytest.raises(SettingsError, match=message) as caught:
        said(tmp_path, CHURN.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'churn.toml'}: ")


def test_a_regression_has_no_classes_and_no_accuracy(tmp_path: Path) -> None:
    """The messages say what the estimator does."""
    with pytest.raises(SettingsError, match="data.classes: expected none, since Ridge predicts"):
        said(tmp_path, RENT + 'classes = ["a", "b"]\n')
    with pytest.raises(SettingsError, match="metrics of a regression, as Ridge is: rmse, mae, r2"):
        said(tmp_path, RENT.replace("mae", "accuracy"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or not text."""
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"bytes\.toml: not UTF-8 text"):
        read(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (["No", "yes"], {"no": 0, "yes": 1, "0": 0, "1": 1}),
        (["1", "0"], {"1": 0, "0": 1}),
        (["-1", "1.0"], {"-1": 0, "1": 1}),
        (["3", "other"], {"3": 0, "other": 1}),
    ],
)
def test_classes_are_spelt_by_name_and_by_number_unless_names_are_numbers(
    tmp_path: Path, classes: list[str], labels: Mapping[str, int]
) -> None:
    """A name that is a number never means another class's place."""
    text = CHURN.replace('["no", "yes"]', str(classes).replace("'", '"'))
    assert said(tmp_path, text).labels == labels


def test_a_configured_workload_says_what_its_file_says(tmp_path: Path) -> None:
    """The first metric decides, and knows its direction."""
    churn = configured(read(written(tmp_path, CHURN)), where="churn.toml").about
    assert (churn.primary, churn.greater_is_better) == ("f1", True)
    assert (churn.default_source, churn.series) == ("csv", {})
    rent = configured(read(written(tmp_path, RENT, "rent.toml")), where="rent.toml").about
    assert (rent.primary, rent.greater_is_better) == ("mae", False)
    assert [field.kind for field in rent.fields] == ["number", "number"]


def test_a_large_holdout_is_asked_in_requests_that_a_server_takes(tmp_path: Path) -> None:
    """Each row once, in order."""
    churn = configured(read(written(tmp_path, CHURN)), where="churn.toml")
    frame = pd.DataFrame({"age": range(2300), "calls": 0, "left": 1})
    asked = [request["dataframe_split"]["data"] for request in churn.requests(frame)]
    assert [len(rows) for rows in asked] == [1000, 1000, 300]
    assert max(map(len, asked)) <= Settings().max_rows
    assert [row[0] for rows in asked for row in rows] == [*range(2300)]


def test_what_a_file_sets_can_be_changed_and_nothing_else(tmp_path: Path) -> None:
    """`--param` knows the file's parameters."""
    parameters = said(tmp_path, CHURN).parameters
    assert resolve(parameters, {"n_estimators": "3"})["n_estimators"] == 3
    with pytest.raises(UnknownName, match="n_estimators"):
        resolve(parameters, {"max_depth": "3"})


def test_a_plan_carries_the_configuration_it_was_read_from(tmp_path: Path) -> None:
    """Whoever goes on with a plan needs no file, and meets no other one."""
    path, settings = written(tmp_path, CHURN), Settings(home=tmp_path)
    data = tmp_path / "customers.csv"
    data.write_text("age,calls,left\n1,2,no\n", encoding="utf-8")
    plan = Plan.of(str(path), settings, configuration=read(path), file=data)
    path.unlink()
    assert (plan.workload, plan.source, plan.series) == ("churn", "csv", "customers")
    again = get(plan.workload, configuration=plan.to_json()["configuration"])
    assert again.about.parameters == configured(plan.configuration or {}, where="").about.parameters
    with pytest.raises(UsageError, match="source csv: expected a file"):
        Plan.of(str(path), settings, configuration=plan.configuration)
    with pytest.raises(UsageError, match="cv_folds: expected 0"):
        Plan.of(
            str(path), settings, configuration=plan.configuration, file=data, params={FOLDS.name: 1}
        )


def test_shipped_configurations_are_found_by_being_there_and_learn_from_bundled_data() -> None:
    """One for each file, by its name."""
    files = {path.stem for path in (ROOT / "training" / "configurations").glob("*.toml")}
    assert {"wine", "digits", "diabetes", "iris_logistic"} <= files
    assert {one.about.name for one in WORKLOADS} == files
    assert files <= find().keys()
    assert all(one.about.series["sample"] in Sample().series for one in WORKLOADS)


def test_two_workloads_of_one_name_are_refused() -> None:
    """Which of them would be trained?"""
    twice = [*WORKLOADS, WORKLOADS[0]]
    with pytest.raises(SettingsError, match=f"'{WORKLOADS[0].about.name}': there are two"):
        by_name(twice)


def test_every_bundled_series_of_scikit_learn_is_credited_with_its_rows() -> None:
    """In the README beside the files, as it is read."""
    readme = ROOT / "training" / "data" / "samples" / "README.md"
    rows = re.findall(r"^\| `(\w+)` \| .+? \| ([\d,]+) \|", readme.read_text(), re.MULTILINE)
    counted: dict[str, int] = {}
    for workload in (get("iris"), *WORKLOADS):
        series = workload.about.series["sample"]
        counted[series] = len(Sample().load(series, workload.about.fields).frame)
    assert {name: int(count.replace(",", "")) for name, count in rows} == counted


def test_the_diabetes_data_is_as_it_was_measured() -> None:
    """Ages in years, not in scikit-learn's standardised form."""
    frame = Sample().load("diabetes", get("diabetes").about.fields).frame
    assert frame["age"].between(18, 80).all()
    assert frame["target"].between(25, 346).all()


def cells(heading: str) -> list[list[str]]:
    """The rows of the page's table below a heading, without its head."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def code(text: str) -> set[str]:
    """What stands in backquotes."""
    return set(re.findall(r"`([^`]+)`", text))


def test_the_page_names_every_estimator_with_its_parameters_and_no_other() -> None:
    """A table that cannot lag behind."""
    written: dict[str, Any] = {row[0].strip("`"): code(row[2]) for row in cells("Estimators")}
    known = {name: {p.name for p in one.parameters} for name, one in ESTIMATORS.items()}
    assert known
    assert written == known


def test_the_page_names_every_key_and_metric_and_no_other() -> None:
    """As `close` lists them."""
    with pytest.raises(SettingsError) as top:
        configured({**_content(), "zzz": 1}, where="f")
    with pytest.raises(SettingsError) as data:
        configured({**_content(), "data": {**_content()["data"], "zzz": 1}}, where="f")
    keys = {*_listed(top), *(f"data.{key}" for key in _listed(data))}
    assert {TEST_SIZE.name, RANDOM_STATE.name, "data.features"} <= keys
    assert {row[0].strip("`") for row in cells("Keys")} == keys
    assert {row[0].strip("`") for row in cells("Metrics")} == set(MEASURES)


def _content() -> dict[str, Any]:
    data = {"features": ["a"], "target": "b"}
    return {"name": "f", "estimator": "Ridge", "metrics": ["r2"], "data": data}


def _listed(caught: pytest.ExceptionInfo[SettingsError]) -> list[str]:
    listed = re.search(r"expected one of (.*), got", str(caught.value))
    assert listed
    return listed[1].split(", ")
