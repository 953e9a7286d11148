"""Where a study is: its results directory if there is one, else MLflow.

Results on disk are the truth, so `compare`, `report` and `reproduce` look there first. A name that is no directory, and
not below `runs`, is looked up in the MLflow store.
"""

import difflib

from benchmarks.errors import StudyError
from benchmarks.schema.study import StudyDescription
from benchmarks.store.results import StoredStudy, StoredTrial, read_study_directory
from pipelines.runtime.storage import Location

__all__ = ["open_study", "open_trial", "study_directory"]


def study_directory(study: str) -> Location | None:
    """The results directory of a study: `study` itself if it is one, or runs/STUDY; None where there is neither."""
    for place in (Location(study), Location("runs") / study):  # the default of a suite's `runs`
        if (place / StudyDescription.file_name).is_file():
            return place.absolute
    return None


def open_study(study: str) -> StoredStudy:
    """A study by its name or its directory.

    Raises:
        StudyError: it is neither on disk nor in the store, or the store does not answer.
        ResultFileError: a file of it is damaged or of another version.
    """
    directory = study_directory(study)
    if directory is not None:
        found = read_study_directory(directory)
        if all(trial.diverged for trial in found.trials):
            raise StudyError(f"{directory}: none of its trials is finished; run the study: vrnn-bench run SUITE.toml")
        return found
    # MLflow takes seconds to import: only those who need the store pay for it.
    from benchmarks.store.mlflow_reader import read_study  # noqa: PLC0415
    from benchmarks.store.mlflow_writer import mlflow_errors_as_study_errors  # noqa: PLC0415

    with mlflow_errors_as_study_errors():
        return read_study(study)


def open_trial(name: str) -> StoredTrial:
    """A finished trial by its name, STUDY/TRIAL, or by the ID of its MLflow run.

    Raises:
        StudyError: there is no such trial, or the store does not answer.
        ResultFileError: a file of it is damaged or of another version.
    """
    study, _, trial = name.partition("/")
    directory = study_directory(study) if trial else None
    if directory is not None:
        found = {stored.record.name: stored for stored in read_study_directory(directory).trials if not stored.diverged}
        if trial not in found:
            near = difflib.get_close_matches(trial, found, n=1)
            hint = f"did you mean {study}/{near[0]}?" if near else f"it has {', '.join(list(found)[:3])}, ..."
            raise StudyError(f"{directory} has no finished trial {trial!r}; {hint}")
        return found[trial]
    from benchmarks.store.mlflow_reader import find_run, read_run  # noqa: PLC0415
    from benchmarks.store.mlflow_writer import mlflow_errors_as_study_errors  # noqa: PLC0415

    with mlflow_errors_as_study_errors():
        return read_run(find_run(name))
