import json
import shutil

import pytest
import safetensors.torch
import torch

from segclf.core.errors import IntegrityError
from segclf.training.checkpoints import (
    checkpoint_names,
    clear_parts,
    load_latest,
    prune,
    read_checkpoint,
    save_checkpoint,
)


def save(root, step, best=None):
    parts = {
        "model": {"w": torch.full((2, 3), float(step))},
        "optimizer": {"0.step": torch.ones(())},
    }
    return save_checkpoint(root, step, parts, {"step": step, "best_step": best})


def test_what_was_saved_is_loaded_and_readable_by_safetensors_and_json(tmp_path):
    folder = save(tmp_path, 12)
    assert sorted(p.name for p in folder.iterdir()) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors", "state.json"
    ]  # fmt: skip
    checkpoint, problems = load_latest(tmp_path)
    assert problems == []
    assert checkpoint.state == {"step": 12, "best_step": None}
    assert torch.equal(checkpoint.tensors["model"]["w"], torch.full((2, 3), 12.0))
    plain = safetensors.torch.load_file(folder / "model.safetensors")
    assert torch.equal(plain["w"], torch.full((2, 3), 12.0))
    assert json.loads((folder / "manifest.json").read_text())["step"] == 12


def test_tensors_in_another_layout_are_saved_in_the_standard_one(tmp_path):
    values = torch.arange(24.0).reshape(1, 2, 3, 4)
    last = values.to(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    folder = save_checkpoint(tmp_path, 1, {"model": {"w": last}}, {})
    assert torch.equal(safetensors.torch.load_file(folder / "model.safetensors")["w"], values)


def test_no_checkpoint_is_none(tmp_path):
    assert load_latest(tmp_path) == (None, [])


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, name, damage):
    save(tmp_path, 5)
    path = save(tmp_path, 10) / name
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "flip":
        data[len(data) // 2] ^= 0x55
        path.write_bytes(data)
    else:
        path.unlink()
    checkpoint, problems = load_latest(tmp_path)
    assert checkpoint.state["step"] == 5
    assert len(problems) == 1
    assert problems[0].startswith("step-00000010: the checkpoint is damaged")
    assert str(tmp_path) not in problems[0]


def test_when_all_are_damaged_it_says_so(tmp_path):
    for step in (5, 10):
        (save(tmp_path, step) / "model.safetensors").write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        load_latest(tmp_path)
    assert caught.value.wrong.startswith("all 2 checkpoints are damaged (step-00000010: ")
    assert "model.safetensors has 0 bytes instead of" in caught.value.wrong
    assert caught.value.exit_code == 5


def test_a_lost_or_strange_latest_file_is_no_harm(tmp_path):
    save(tmp_path, 5)
    save(tmp_path, 10)
    (tmp_path / "LATEST").unlink()
    assert load_latest(tmp_path)[0].state["step"] == 10
    (tmp_path / "LATEST").write_bytes(b"\xff\xfe../../etc")
    checkpoint, problems = load_latest(tmp_path)
    assert checkpoint.state["step"] == 10
    assert problems == ["LATEST names no checkpoint"]


def test_a_manifest_cannot_point_outside_its_folder(tmp_path):
    folder = save(tmp_path, 5)
    shutil.copy(folder / "state.json", tmp_path / "state.json")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../state.json"] = manifest["files"]["state.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match=r"file name '\.\./state\.json'"):
        read_checkpoint(folder)


def test_the_last_ones_stay_and_the_best_that_each_of_them_names(tmp_path):
    for step, best in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3), (6, 6)]:
        save(tmp_path, step, best)
        prune(tmp_path, keep=2)
    # 5 may be needed should 6 be damaged, and names 3 as its best
    assert checkpoint_names(tmp_path) == ["step-00000003", "step-00000005", "step-00000006"]


def test_what_a_kill_left_half_written_is_cleared(tmp_path):
    save(tmp_path, 5)
    (tmp_path / ".step-00000010.ab12.part").mkdir()
    (tmp_path / ".step-00000010.ab12.part" / "model.safetensors").write_bytes(b"half")
    clear_parts(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["LATEST", "step-00000005"]


def test_files_are_flushed_before_and_their_folder_after_they_get_their_name(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr("os.fsync", lambda descriptor: order.append("file"))
    module = "segclf.training.checkpoints"
    monkeypatch.setattr(f"{module}.sync", lambda folder: order.append(f"sync {folder.name[:5]}"))
    monkeypatch.setattr(
        f"{module}.os.replace",
        lambda source, target: (order.append("rename"), shutil.move(source, target)),
    )
    save(tmp_path / "checkpoints", 5)
    assert order[:7] == ["file"] * 4 + ["sync .step", "rename", "sync check"]
