"""What is known of a saved adapter before it is loaded."""

from __future__ import annotations

from pathlib import Path

from adapterstilts.model import backbone, configs
from adapterstilts.model.host import Host
from adapterstilts.model.saved import SavedAdapter
from adapterstilts.run.assemble import spec_of


def test_the_configuration_of_an_adapter_that_another_program_saved(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    host = Host(backbone.BackboneFiles.locate(str(tiny_backbone)))
    spec = configs.AdapterSpec.load("seq_bn")
    host.add_adapter("a", spec, seed=1)
    host.save_adapter("a", tmp_path)
    assert spec_of(tmp_path) == spec
    (tmp_path / SavedAdapter.RECORD).unlink()
    found = spec_of(tmp_path)
    assert found is not None and found.config == spec.config
    assert spec_of(None) is None
