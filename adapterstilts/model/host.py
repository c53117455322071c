"""The frozen encoder with adapters, AdapterFusion and heads: the only file that imports `adapters`.

Version 1.3 loads a wrong adapter, or trains a wrong part, without a word; what works around that says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import adapters
import torch
from torch import nn

from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.kinds.base import Batch, HeadSpec
from adapterstilts.model import (
    adapters_config,
    adapters_workarounds,
    average,
    compatibility,
    encoder,
    fusion,
    mlm_head,
    saved,
    tensors,
)
from adapterstilts.model.active_adapters import ActiveAdapters
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.size import check_size

logging.getLogger("adapters").setLevel(logging.ERROR)  # it warns at every forward pass without adapters

CLASSES: dict[str, type[adapters.AdapterConfig]] = {
    "prefix_tuning": adapters.PrefixTuningConfig,
    "bottleneck": adapters.BnConfig,
    "lora": adapters.LoRAConfig,
}


class Host:
    """One encoder in memory, frozen, on which adapters are placed, trained, saved and exchanged.

    Attributes:
        model: the encoder with all that was added; for `accelerate` and for moving to a device.
        tokenizer: the backbone's fast tokenizer.
        files: where the backbone came from.
    """

    def __init__(self, files: BackboneFiles, *, dropout: bool = False) -> None:
        """Loads the encoder in float32 and freezes it.

        Args:
            dropout: keep dropout inside the frozen encoder while training.

        Raises:
            BackboneError: weights are missing from the file, or the tokenizer does not fit.
        """
        self.files = files
        self.tokenizer = encoder.load_tokenizer(files)
        self.model: Any = encoder.load_encoder(files, adapters.AutoAdapterModel)
        if not dropout:
            encoder.remove_dropout(self.model)
        self._specs: dict[str, AdapterSpec] = {}
        self._fusions: set[tuple[str, ...]] = set()
        self._heads: dict[str, HeadSpec] = {}
        self._fused = False  # whether an AdapterFusion is active
        self.reset()

    # Adapters

    def add_adapter(self, name: str, spec: AdapterSpec, seed: int) -> None:
        """Adds a fresh adapter whose weights depend on the configuration and `seed` alone.

        Raises:
            AdapterError: the name is taken or malformed.
            ConfigError: the configuration does not fit this backbone.
        """
        compatibility.check_name(name, self._specs)
        compatibility.check_layers(spec, self.files.layers)
        check_size(spec, self.files.hidden_size, self.files.layers)
        try:
            with encoder.seeded(seed):
                self.model.add_adapter(name, config=_library_config(spec))
        except Exception as error:  # the library raises anything from AssertionError to KeyError here
            self._delete_adapter(name)
            raise ConfigError(
                f"adapter configuration '{spec.name}' does not fit {self.files.name} "
                f"(hidden size {self.files.hidden_size}): {error or type(error).__name__}"
            ) from error
        self._specs[name] = spec
        adapters_workarounds.own_config(self.model, name)
        self._settle()

    def load_adapter(self, folder: Path, name: str) -> None:
        """Loads a saved adapter, without head; nothing stays behind if that fails.

        The library itself takes an adapter of another depth or model type, or with flipped bits, without
        a word: the record beside the weights, or for an adapter that another program saved its
        configuration, is checked first, and every tensor must find its place.

        Raises:
            AdapterError: of another backbone, damaged, a pickle, or of an unsupported method.
        """
        compatibility.check_name(name, self._specs)
        record = saved.check_adapter(folder, self.files)
        info: dict[str, list[str]] = {}
        try:
            self.model.load_adapter(
                str(folder.resolve()), load_as=name, with_head=False, use_safetensors=True, loading_info=info
            )
            saved.check_complete(folder, info)
            adapters_workarounds.own_config(self.model, name)
            config = self.model.adapters_config.get(name).to_dict()
            self._specs[name] = record.spec if record else adapters_config.spec(config, folder)
            compatibility.check_layers(self._specs[name], self.files.layers)
        except AdapterError:
            self._delete_adapter(name)
            raise
        except Exception as error:
            self._delete_adapter(name)
            raise AdapterError(
                f"the adapter in {folder} does not fit {self.files.name}: {error or type(error).__name__}"
            ) from error
        self._settle()

    def save_adapter(self, name: str, folder: Path) -> None:
        """Writes an adapter in the library's form, as safetensors, with our record of it beside.

        Prefix tuning shares tensors between modules, which safetensors refuses: each is written once.
        """
        spec = self.spec(name)
        config = saved.library_file(name, self.model.adapters_config.get(name).to_dict(), self.files)
        saved.write_adapter(folder, self._adapter_state(name), spec, config, self.files)

    def average(self, name: str, sources: Sequence[str], weights: Sequence[float]) -> AdapterSpec:
        """Adds the weighted mean of adapters in weight space; of one with weight 1, its copy.

        The mean covers invertible parts (which the library skips) and shared parameters. For LoRA it is
        the mean of the updates, exactly, and its rank is the sum of the ranks of those with weight.

        Returns:
            The configuration of the new adapter.

        Raises:
            AdapterError: configurations differ, or a method that has no mean.
        """
        specs = [self.spec(source) for source in sources]
        spec, mean = average.merged(specs, [self._neutral(source) for source in sources], weights)
        self.place_adapter(name, spec, mean)
        return spec

    def place_adapter(self, name: str, spec: AdapterSpec, weights: tensors.Tensors) -> None:
        """Adds an adapter with these weights, by their neutral names; nothing stays behind if that fails.

        Raises:
            AdapterError: they do not fit the configuration; see also `add_adapter`.
        """
        self.add_adapter(name, spec, seed=0)
        try:
            tensors.copy(self._neutral(name), weights, f"'{name}'")
        except AdapterError:
            self._delete_adapter(name)
            raise

    def spec(self, name: str) -> AdapterSpec:
        """The configuration of a loaded adapter.

        Raises:
            AdapterError: there is none of that name.
        """
        if name not in self._specs:
            raise AdapterError(
                f"no adapter '{name}' is loaded; there are: {', '.join(self._specs) or 'none'}"
            )
        return self._specs[name]

    # Heads

    def add_head(self, name: str, spec: HeadSpec, seed: int) -> None:
        """Adds a fresh prediction head whose weights depend on `spec` and `seed` alone.

        A choice head gives one score a sequence, so any number of choices works.

        Raises:
            AdapterError: the name is taken or malformed.
        """
        compatibility.check_name(name, self._heads)
        names = dict(enumerate(spec.labels))
        with encoder.seeded(seed):
            match spec.kind:
                case "classification":
                    self.model.add_classification_head(name, num_labels=len(names), id2label=names)
                case "tagging":
                    self.model.add_tagging_head(name, num_labels=len(names), id2label=names)
                case "span":
                    self.model.add_qa_head(name)
                case "choice":
                    self.model.add_multiple_choice_head(name, num_choices=1)
                case "mlm":
                    self.model.heads[name] = mlm_head.head(self.model, self.files)
        self._heads[name] = spec
        self._settle()

    def pretrained(self, name: str) -> bool:
        """Whether a head came with the backbone, and so neither trains nor is saved."""
        return bool(getattr(self.model.heads[name], "pretrained", False))

    def save_head(self, name: str, folder: Path) -> None:
        """Writes a head in the library's form, as safetensors, with our record of it beside.

        The library's own call would also write every head whose name begins with this one's.
        """
        head = self.model.heads[name]
        config = saved.library_file(name, head.config, self.files)
        saved.write_head(
            folder, head.state_dict(prefix=f"heads.{name}."), self._heads[name], config, self.files
        )

    def load_head(self, folder: Path, name: str, expected: HeadSpec) -> None:
        """Loads a saved head.

        Raises:
            AdapterError: damaged, of another width, or it predicts something else than `expected`.
        """
        self.place_head(name, expected, saved.read_head(folder, expected, self.files))

    def place_head(self, name: str, spec: HeadSpec, weights: tensors.Tensors) -> None:
        """Adds a head with these weights, by their names inside it, of which each must fit."""
        self.add_head(name, spec, seed=0)
        tensors.copy(self.model.heads[name].state_dict(), weights, f"the head '{name}'")

    # AdapterFusion

    def add_fusion(self, sources: Sequence[str], seed: int) -> None:
        """Adds a fresh AdapterFusion layer (Pfeiffer et al. 2021) over adapters.

        Raises:
            AdapterError: adapters that cannot be fused (for some the library fails only when it runs).
        """
        names = tuple(sources)
        compatibility.check_fuse([self.spec(source) for source in names])
        if names in self._fusions:
            raise AdapterError(f"there is an AdapterFusion over {', '.join(names)} already")
        with encoder.seeded(seed):
            self.model.add_adapter_fusion(adapters.Fuse(*names))
        fusion.lay_out_inputs(self.model, adapters.Fuse(*names).name)
        self._fusions.add(names)
        self._settle()

    def save_fusion(self, sources: Sequence[str], folder: Path) -> None:
        """Writes an AdapterFusion layer, with digests of the adapters that it mixes."""
        name = adapters.Fuse(*sources).name
        held, _ = self.model.adapters_config.get_fusion(name)
        config = saved.library_file(name, held.to_dict(), self.files)
        config["adapter_names"] = list(sources)
        saved.write_fusion(folder, self._fusion_state(name), self._digests(sources), config, self.files)

    def load_fusion(self, folder: Path, sources: Sequence[str]) -> None:
        """Loads an AdapterFusion layer over adapters that are loaded already, in the order it was saved.

        Raises:
            AdapterError: damaged, of another backbone, or over other adapters.
        """
        state = saved.read_fusion(folder, self._digests(sources), self.files)
        self.add_fusion(sources, seed=0)
        name = adapters.Fuse(*sources).name
        mine = tensors.neutral(self._fusion_state(name), name, tensors.FUSION_PLACE)
        tensors.copy(mine, state, f"the AdapterFusion in {folder}")

    # Use

    def activate(self, setup: ActiveAdapters, train: bool, heads: Sequence[str] = ()) -> None:
        """Makes adapters, fusion and head effective; with `train`, exactly the setup's own part trains.

        `requires_grad` is set here for every parameter: the library's `train_adapter` resets the active
        setup and leaves every head trainable.

        Args:
            heads: further ones that train (of several tasks, each has its own); not one that is pretrained.

        Raises:
            AdapterError: something is not loaded, or the arrangement would leave an adapter without effect.
        """
        self._check_setup(setup)
        stack: list[Any] = [*setup.stack, *([adapters.Fuse(*setup.fused)] if setup.fused else [])]
        self.model.set_active_adapters(adapters.Stack(*stack) if stack else None)
        ours = setup.head and self._heads[setup.head].kind == "mlm"  # which the library does not know
        self.model.active_head = None if ours else setup.head  # after the adapters: they change the head too
        self._fused = bool(setup.fused)
        self.model.requires_grad_(False)
        if train:
            wanted = self._own_part(setup, heads)
            if not wanted:
                raise AdapterError("nothing would train: there is no target adapter, no fusion and no head")
            for name, parameter in self.model.named_parameters(remove_duplicate=False):
                if name in wanted:
                    parameter.requires_grad = True
        self.model.train(train)

    def trainable(self) -> dict[str, nn.Parameter]:
        """What trains, by name, in the order of the names."""
        named = self.model.named_parameters(remove_duplicate=False)
        return dict(sorted((n, p) for n, p in named if p.requires_grad and not tensors.repeated(n)))

    def forward(self, batch: Batch, head: str) -> torch.Tensor:
        """Logits through the active adapters and a head.

        Returns:
            sequence [N, classes]; tagging [N, L, classes]; span [N, L, 2]; choice [N], one score a sequence;
            mlm [masked, 3], see `model/mlm_head.py`.

        Raises:
            AdapterError: there is no such head.
        """
        if head not in self._heads:
            raise AdapterError(f"no head '{head}' is loaded; there are: {', '.join(self._heads) or 'none'}")
        if self._heads[head].kind == "mlm":
            return mlm_head.scores(self.model, self.model.heads[head], batch)
        output = self.model(**encoder.inputs(self.model, batch), head=head)
        if self._heads[head].kind == "span":
            return torch.stack([output.start_logits, output.end_logits], dim=-1)
        logits: torch.Tensor = output.logits
        return logits.reshape(-1) if self._heads[head].kind == "choice" else logits

    def hidden(self, batch: Batch, layer: int) -> torch.Tensor:
        """Hidden states [N, L, H] through the active adapters; layer 0 is the embeddings, -1 the last.

        The layers above are not computed.
        """
        return encoder.hidden(self.model, batch, layer)

    def fusion_attention(self, batch: Batch) -> list[list[float]]:
        """Share of the attention of the active AdapterFusion that each adapter gets.

        Returns:
            For each layer that has one, a share per adapter, in their order; the mean over all tokens
            that are not padding, and over both places where a layer has two.
        """
        if not self._fused:
            raise AdapterError("no AdapterFusion is active")
        return fusion.fusion_attention(self.model, batch)

    def fusion_regularisation(self) -> torch.Tensor | None:
        """0.01 times the squared distance of the fusion's value matrices from the identity.

        Of Pfeiffer et al. 2021; to be added to the loss. The library's own trainer applies it a step late.

        Returns:
            A scalar; None unless an AdapterFusion is being trained.
        """
        penalty: torch.Tensor | None = self.model.get_fusion_regularization_loss()
        return penalty

    def training_attention(self, on: bool) -> None:
        """Switches to the attention whose backward pass is fast on a CPU, or back; results are equal."""
        encoder.set_attention(self.model.base_model, eager=on and self.model.device.type == "cpu")

    def remove(self, name: str) -> None:
        """Takes away an adapter, and every fusion over it, and the head of that name."""
        self.model.set_active_adapters(None)
        self._fused = False
        for sources in [s for s in self._fusions if name in s]:
            self.model.delete_adapter_fusion(adapters.Fuse(*sources).name)
            self._fusions.discard(sources)
        self._delete_adapter(name)
        self.model.delete_head(name)
        if self._heads.pop(name, None) and name in self.model.heads:
            del self.model.heads[name]  # the library deletes only heads of its own

    def reset(self) -> None:
        """Back to the bare, frozen backbone."""
        for name in [*self._specs, *self._heads]:
            self.remove(name)
        self.activate(ActiveAdapters(), train=False)

    # Inside

    def _check_setup(self, setup: ActiveAdapters) -> None:
        compatibility.check_setup(setup, {name: self.spec(name) for name in (*setup.stack, *setup.fused)})
        if setup.fused and setup.fused not in self._fusions:
            raise AdapterError(f"there is no AdapterFusion over {', '.join(setup.fused)}")
        if setup.head is not None and setup.head not in self._heads:
            raise AdapterError(f"no head '{setup.head}' is loaded")

    def _own_part(self, setup: ActiveAdapters, heads: Sequence[str]) -> set[str]:
        own: set[str] = set()
        if setup.fused:
            own |= set(self._fusion_state(adapters.Fuse(*setup.fused).name))
        elif setup.target:
            own |= set(self._adapter_state(setup.target))
        for head in {*heads, *filter(None, [setup.head])}:
            if not self.pretrained(head):
                own |= set(self.model.heads[head].state_dict(prefix=f"heads.{head}."))
        return own

    def _adapter_state(self, name: str) -> tensors.Tensors:
        return tensors.part_of(self.model.state_dict(), name)

    def _neutral(self, name: str) -> tensors.Tensors:
        self.spec(name)
        return tensors.neutral(self._adapter_state(name), name)

    def _digests(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(tensors.digest(self._neutral(name)) for name in names)

    def _fusion_state(self, name: str) -> tensors.Tensors:
        return tensors.part_of(self.model.state_dict(), name, tensors.FUSION_PLACE)

    def _delete_adapter(self, name: str) -> None:
        adapters_workarounds.delete_adapter(self.model, name)
        self._specs.pop(name, None)

    def _settle(self) -> None:
        # The library makes modules on the CPU, and trainable.
        self.model.to(self.model.device).requires_grad_(False)


def _library_config(spec: AdapterSpec) -> adapters.AdapterConfig:
    parts = []
    for kind, part in spec.parts.items():
        keys = part.model_dump(mode="json", exclude={"architecture"} if kind == "bottleneck" else None)
        parts.append(CLASSES[kind](**keys))
    return parts[0] if len(parts) == 1 else adapters.ConfigUnion(*parts)
