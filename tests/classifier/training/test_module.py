from __future__ import annotations

import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from torch.nn import functional

from classifier.box_deltas import encode_boxes
from classifier.googlenet import GoogLeNet
from classifier.region_network import RegionNetwork
from classifier.training.augmentation import NUMBERS, Augmentation, Distortions, distort, no_distortions
from classifier.training.box_loss import box_regression_loss, paired_iou
from classifier.training.class_loss import ClassLoss
from classifier.training.module import ClassifierTraining, _mirrored_boxes
from classifier.training.samples.region_batch import RegionBatch
from classifier.warp.crop import warp_regions
from classifier.warp.matrices import Interpolation
from detection.errors import InputError
from detection.runtime.pixels import SCALE
from detection.training.options import TrainingOptions

UNCHANGED = Distortions.join([no_distortions(6)])


def batch_of(count: int = 6, seed: int = 0) -> RegionBatch:
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(5, 24, (count, 2))], 1).astype(np.float32)
    return RegionBatch(
        torch.from_numpy(generator.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)),
        torch.from_numpy(boxes),
        torch.from_numpy(generator.integers(0, 3, count)),
        torch.from_numpy(boxes + np.array([2, -1, 4, 1], np.float32)),
        Distortions.join([Augmentation().draw(generator.random((count, NUMBERS)))]),
        ", ".join(f"{index}.png" for index in range(count)),
    )


def training(
    options: TrainingOptions | None = None,
    *,
    box_classes: int | None = None,
    auxiliary: bool = False,
    size: int = 32,
    **arguments: Any,
) -> ClassifierTraining:
    torch.manual_seed(0)
    trunk = GoogLeNet(3, auxiliary_heads=auxiliary, width_multiplier=0.125, dropout=0)
    network = RegionNetwork(trunk, box_classes=box_classes)
    return ClassifierTraining(
        network,
        options or TrainingOptions(),
        class_names=("cat", "dog"),
        background=True,
        seed=1,
        input_size=size,
        context=2,
        **arguments,
    )


def test_measuring_sees_what_the_detector_sees() -> None:
    batch = batch_of()._replace(distortions=UNCHANGED)
    expected = warp_regions(batch.images, batch.boxes[:, None], size=32, context=2)[:, 0]
    torch.testing.assert_close(training().regions(batch), expected * SCALE, atol=1e-4, rtol=0)


def test_batches_come_out_of_a_loader_process_as_they_were() -> None:
    batch = batch_of()
    received = pickle.loads(ForkingPickler.dumps(batch))
    assert isinstance(received, RegionBatch)
    for sent, there in zip((*batch[:4], *batch.distortions), (*received[:4], *received.distortions), strict=True):
        assert type(there) is type(sent)
        np.testing.assert_array_equal(np.asarray(there), np.asarray(sent), strict=True)
    assert received.files == batch.files == "0.png, 1.png, 2.png, 3.png, 4.png, 5.png"


def test_training_may_use_a_smaller_input() -> None:
    module = training(TrainingOptions(training_sizes=[32]), size=64)
    assert module.distorted_regions(batch_of()).shape == (6, 3, 32, 32)
    assert module.regions(batch_of()).shape == (6, 3, 64, 64)
    undistorted = batch_of()._replace(distortions=UNCHANGED)
    expected = warp_regions(undistorted.images, undistorted.boxes[:, None], size=32, context=1)[:, 0]
    torch.testing.assert_close(module.distorted_regions(undistorted), expected * SCALE, atol=1e-4, rtol=0)


def test_inputs_grow_in_equal_shares_of_a_run() -> None:
    module = training(TrainingOptions(training_sizes=[32, 48, 64]), size=64)
    shares = [0, 0.33, 0.34, 0.66, 0.67, 0.99, 1]
    assert [module.training_size(share) for share in shares] == [32, 32, 48, 48, 64, 64, 64]
    assert [module.training_context(size) for size in (32, 48, 64)] == [1, 1, 2]
    assert [training(size=64).training_size(share) for share in shares] == [64] * 7


def test_frozen_layers_keep_weights_and_statistics() -> None:
    torch.manual_seed(0)
    network = RegionNetwork(GoogLeNet(3, batch_norm=True, width_multiplier=0.125))
    module = ClassifierTraining(
        network,
        TrainingOptions(frozen=["trunk.stem", "trunk.blocks.3a"]),
        class_names=("cat", "dog"),
        background=True,
        seed=1,
        input_size=32,
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(module._parameter_groups(), momentum=0.9)
    module.eval().train()
    for _ in range(2):
        optimizer.zero_grad()
        module._loss(batch_of())[0].backward()
        optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    kept = {name for name in before if name.startswith(("trunk.stem.", "trunk.blocks.3a."))}
    assert changed == before.keys() - kept
    assert not any(layer.training for layer in module.eval().modules())


@pytest.mark.parametrize("name", ["trunk.blocks.6a", "", "stem"])
def test_nothing_of_this_name_to_freeze(name: str) -> None:
    expected = "frozen: expected modules of the network such as trunk.stem, .*trunk.blocks.5b, trunk.linear"
    with pytest.raises(InputError, match=f"{expected}, got '{name}'"):
        training(TrainingOptions(frozen=[name]))


def test_something_is_left_to_train() -> None:
    with pytest.raises(InputError, match="frozen: expected layers that are left to train, got trunk"):
        training(TrainingOptions(frozen=["trunk"]))


def test_regions_are_warped_in_full_precision() -> None:
    module, batch = training(), batch_of()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module.distorted_regions(batch)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, module.distorted_regions(batch))


def test_nothing_depends_on_values_on_the_device() -> None:
    # Tensors of the device "meta" have none, so what would make the host wait for a GPU's is an error there.
    batch = batch_of(9)
    assert set(batch.distortions.interpolation) == set(Interpolation)
    mirrored, kinds, gains, lighting = batch.distortions
    there = Distortions(mirrored.to("meta"), kinds, gains.to("meta"), lighting.to("meta"))
    images, boxes, labels, targets = (values.to("meta") for values in batch[:4])
    regions = warp_regions(images, boxes[:, None], size=32, interpolation=kinds[:, None])[:, 0]
    assert distort(regions, there).shape == (9, 3, 32, 32)
    assert box_regression_loss(torch.zeros((9, 2, 4), device="meta"), labels, boxes, targets).shape == ()
    assert ClassLoss(3, sets=[{1, 2}]).to("meta")(torch.zeros((9, 3), device="meta"), labels).shape == ()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_training_step_does_not_wait_for_the_gpu() -> None:
    module = training(box_classes=2).cuda()
    batch = move_data_to_device(batch_of(), torch.device("cuda"))
    module._loss(batch)  # makes the constants
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss, _ = module._loss(batch)
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_loss_adds_the_auxiliary_heads_and_the_boxes() -> None:
    batch = batch_of(2)._replace(distortions=Distortions.join([no_distortions(2)]), labels=torch.tensor([1, 2]))
    module = training(box_classes=2, auxiliary=True, size=224, box_weight=0.5)
    trunk = module.network.trunk.eval()  # without dropout in the auxiliary heads
    loss, logits = module._loss(batch)

    inputs, labels = module.distorted_regions(batch), batch.labels
    _, (first, second) = trunk.features_with_auxiliary(inputs)  # type: ignore[operator]
    main = trunk(inputs)
    entropies = [functional.cross_entropy(each, labels) for each in (main, first, second)]
    # The head for boxes starts at zero; smooth L1 of each coordinate of the target, over two regions.
    targets = encode_boxes(batch.boxes, batch.targets)
    smooth = torch.where(targets.abs() < 1, targets**2 / 2, targets.abs() - 0.5).sum(1)
    counted = smooth[paired_iou(batch.boxes, batch.targets) >= 0.5]
    assert len(counted)
    expected = entropies[0] + 0.3 * (entropies[1] + entropies[2]) + 0.5 * counted.sum() / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(logits, main)


def test_targets_turn_with_the_mirrored_picture() -> None:
    # Region 10-30, target 12-36: 2 from its left border and 6 beyond its right one; mirrored, 6 beyond the left one.
    boxes = torch.tensor([[10.0, 5, 30, 25], [10, 5, 30, 25]])
    targets = torch.tensor([[12.0, 6, 36, 20], [12, 6, 36, 20]])
    distortions = Distortions.join([no_distortions(2)])._replace(mirrored=torch.tensor([False, True]))
    batch = batch_of(2)._replace(boxes=boxes, targets=targets, distortions=distortions)
    regions, turned = _mirrored_boxes(batch)
    assert regions.tolist() == boxes.tolist()
    assert turned.tolist() == [[12, 6, 36, 20], [4, 6, 28, 20]]


def test_weights_decay_and_new_layers_learn_faster() -> None:
    new = frozenset({"trunk.linear.weight", "trunk.linear.bias"})
    trunk = GoogLeNet(3, width_multiplier=0.125)
    module = ClassifierTraining(
        RegionNetwork(trunk),
        TrainingOptions(learning_rate=0.001, weight_decay=0.01),
        class_names=("cat", "dog"),
        background=True,
        seed=1,
        input_size=32,
    )
    module.new_layers = new
    found = {}
    for group in module._parameter_groups():
        for parameter in group["params"]:
            found[id(parameter)] = (group["lr"], group["weight_decay"])
    assert len(found) == len(list(trunk.parameters()))
    assert found[id(trunk.linear.weight)] == (0.01, 0.01)
    assert found[id(trunk.linear.bias)] == (0.01, 0.0)
    first = trunk.get_parameter("stem.0.0.weight")
    assert found[id(first)] == (0.001, 0.01)
    assert found[id(trunk.get_parameter("stem.0.0.bias"))] == (0.001, 0.0)


def test_diverged_loss_names_the_files() -> None:
    module = training()
    module.raise_if_diverged()  # before the first step there is nothing to check
    module._unchecked = [(torch.tensor(1.5), "0.png, 1.png"), (torch.tensor(0.5), "2.png, 3.png")]
    module.raise_if_diverged()
    module._unchecked = [(torch.tensor(1.5), "0.png, 1.png"), (torch.tensor(float("inf")), "2.png, 3.png")]
    with pytest.raises(InputError, match=r"expected a finite loss, got inf.*among 2\.png, 3\.png$"):
        module.raise_if_diverged()
    module.raise_if_diverged()  # said once


def test_labels_of_sets_teach_classes_but_no_boxes() -> None:
    module = training(box_classes=2, label_sets=[{0, 1}])
    batch = batch_of()._replace(labels=torch.full((6,), 3))  # neither background nor one of two classes, but either
    loss, logits = module._loss(batch)
    torch.testing.assert_close(loss, -logits.softmax(1)[:, 1:].sum(1).log().mean())
    loss.backward()
    assert module.network.box_head is not None
    assert not module.network.box_head.weight.grad.any()  # type: ignore[union-attr]
    assert module.network.trunk.linear.weight.grad[0].any()  # type: ignore[union-attr, index]
