"""Results are of the pictures that are there: replaced ones are done anew, and ones of another size stop the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from detection.formats.run_results import GROUND_TRUTH_NAME, NAME, ResultsWriter, read_results
from tests.tools.measure.evaluate.conftest import KilledError, report_of
from tools.measure.evaluate import command as evaluate

IMAGES = 12


def change_pictures(data: Path, *names: str) -> None:
    """Turn pictures of the validation split upside down."""
    for name in names:
        path = data / "tiny-imagenet-200" / "val" / "images" / f"{name}.png"
        with PIL.Image.open(path) as picture:
            changed = picture.transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM)
        changed.save(path)


def test_replaced_pictures_are_done_anew(
    options: list[str], copy: Path, tmp_path: Path, detected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [*options, "--data", str(copy), "--results", str(tmp_path / "kept")]
    before = report_of(kept, tmp_path / "a.json")
    change_pictures(copy, "3", "7")
    detected.clear()
    capsys.readouterr()
    after = report_of(kept, tmp_path / "b.json")
    assert sum(detected) == 2
    assert (
        f"{tmp_path / 'kept'}: results of 2 of 12 images are done anew, because their files" in capsys.readouterr().err
    )
    whole = report_of([*options, "--data", str(copy), "--results", str(tmp_path / "new")], tmp_path / "c.json")
    assert after["mAP"] == whole["mAP"] != before["mAP"]
    assert read_results(tmp_path / "kept" / NAME).images.keys() == read_results(tmp_path / "new" / NAME).images.keys()
    detected.clear()
    assert report_of(kept, tmp_path / "d.json")["mAP"] == after["mAP"]
    assert not detected


def test_killed_while_replaced_pictures_are_done_anew(
    options: list[str], copy: Path, tmp_path: Path, detected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [*options, "--data", str(copy), "--results", str(tmp_path / "kept")]
    assert evaluate.main(kept) == 0
    change_pictures(copy, "3", "7")

    def killed(*_: Any) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResultsWriter, "add", killed)
        with pytest.raises(KilledError):
            evaluate.main(kept)
    assert len(read_results(tmp_path / "kept" / NAME).images) == IMAGES - 2
    detected.clear()
    monkeypatch.undo()
    assert evaluate.main(kept) == 0
    assert len(read_results(tmp_path / "kept" / NAME).images) == IMAGES


def test_older_results_are_used_with_a_word(
    options: list[str], copy: Path, tmp_path: Path, detected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [*options, "--data", str(copy), "--results", str(tmp_path / "kept")]
    assert evaluate.main(kept) == 0
    path = tmp_path / "kept" / NAME
    results = read_results(path)
    path.unlink()
    with ResultsWriter(path, results.settings, results.class_names) as writer:
        for result in results.images.values():
            writer.add(result._replace(file=None))
    change_pictures(copy, "3")
    detected.clear()
    capsys.readouterr()
    assert evaluate.main(kept) == 0
    assert not detected
    expected = "results of 12 of 12 images are of an older version and do not tell their files; delete the folder if"
    assert f"{tmp_path / 'kept'}: {expected}" in capsys.readouterr().err


def test_pictures_of_another_size_than_their_annotation(
    options: list[str], copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "tiny-imagenet-200" / "val" / "images" / "5.png"
    PIL.Image.new("RGB", (48, 32)).save(path)
    assert evaluate.main([*options, "--data", str(copy), "--results", str(tmp_path / "kept")]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    annotations = copy / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    expected = f"expected 64x64 px as in {annotations}:6, got 48x32 (with its EXIF orientation applied)"
    assert line == f"detect-evaluate: {path}: {expected}"


def test_older_results_of_another_size_are_made_anew(
    options: list[str], tmp_path: Path, detected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Older versions did not compare the sizes of pictures with their annotations."""
    kept = [*options, "--results", str(tmp_path / "kept")]
    assert evaluate.main(kept) == 0
    path = tmp_path / "kept" / NAME
    results = read_results(path)
    path.unlink()
    with ResultsWriter(path, results.settings, results.class_names) as writer:
        for result in results.images.values():
            writer.add(result._replace(size=(32, 48) if result.image_id == "5" else result.size, file=None))
    detected.clear()
    capsys.readouterr()
    assert evaluate.main(kept) == 0
    assert sum(detected) == 1
    assert "results of 1 of 12 images are done anew" in capsys.readouterr().err


def test_runs_on_other_pictures_do_not_compare(
    options: list[str], copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert evaluate.main([*options, "--data", str(copy), "--results", str(tmp_path / name)]) == 0
        change_pictures(copy, "7")
    assert evaluate.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line == (
        f"detect-evaluate: {tmp_path / 'a'}, {tmp_path / 'b'}: expected two results on the same images, got other "
        "content of image '7'"
    )


def test_results_of_another_command(
    options: list[str], copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`detect-evaluate-photos` writes results too, without a rule."""
    run = tmp_path / "run"
    assert evaluate.main([*options, "--data", str(copy), "--results", str(run)]) == 0
    results = read_results(run / NAME)
    with ResultsWriter(tmp_path / "photos" / NAME, {"split": "val"}, results.class_names) as writer:
        for result in results.images.values():
            writer.add(result)
    capsys.readouterr()
    compare = ["compare", str(tmp_path / "photos"), str(run), "--ground-truth", str(run / GROUND_TRUTH_NAME)]
    assert evaluate.main(compare) == 1
    expected = f"{tmp_path / 'photos'}: expected the results of detect-evaluate run, got others; add --rule"
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"detect-evaluate: {expected}"
    assert evaluate.main([*compare, "--rule", "voc"]) == 0
