"""Tests of `Teacher`: its probabilities, its part of the loss, and how it cuts out regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from classifier.googlenet import GoogLeNet
from classifier.region_classifier import RegionClassifier
from classifier.region_network import RegionNetwork
from classifier.training.module import ClassifierTraining
from classifier.training.teacher import Teacher
from detection.errors import InputError
from detection.training.options import TrainingOptions
from tests.classifier.scoring.member_examples import Write
from tests.classifier.training.test_module import batch_of, training

CPU = torch.device("cpu")


def taught(*members: str, temperature: float = 1.0, share: float = 0.5) -> Teacher:
    teacher = Teacher(members, temperature=temperature, share=share)
    teacher.load(CPU)
    return teacher


def test_probabilities_are_the_means_of_what_the_networks_say_of_the_regions(write: Write) -> None:
    members = [write(seed, size=size, context=4, names=("cat", "dog")) for seed, size in ((1, 32), (2, 48))]
    batch = batch_of()
    expected = np.zeros((6, 3), np.float32)
    for name in members:
        classifier = RegionClassifier(name, device="cpu")
        images, boxes = [image.numpy() for image in batch.images], list(batch.boxes[:, None].numpy())
        expected += np.concatenate([scores.probabilities for scores in classifier(images, boxes)]) / 2
    probabilities = taught(*members).probabilities(batch)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6))
    np.testing.assert_allclose(probabilities, expected, atol=0.01)  # bytes are rounded in another way


def test_a_temperature_makes_probabilities_more_alike(write: Write) -> None:
    name, batch = write(1), batch_of()
    cold, warm = (taught(name, temperature=value).probabilities(batch) for value in (1.0, 4.0))
    torch.testing.assert_close(warm, (cold.log() / 4).softmax(1))
    assert warm.amax(1).max() < cold.amax(1).max()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_least_for_the_teachers_own_outputs(write: Write, temperature: float) -> None:
    batch, teacher = batch_of(), taught(write(1, names=("cat", "dog")), temperature=temperature)
    logits = (temperature * teacher.probabilities(batch).log()).requires_grad_()
    loss = teacher.loss(logits, batch)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-5
    assert teacher.loss(torch.zeros_like(logits), batch) > 1e-3


def test_labels_and_teachers_share_the_loss(write: Write) -> None:
    batch, teacher = batch_of(), taught(write(1, names=("cat", "dog")), share=0.3)
    labels_alone, logits = training()._loss(batch)
    both, _ = training(teacher=teacher)._loss(batch)
    torch.testing.assert_close(both, 0.7 * labels_alone + 0.3 * teacher.loss(logits, batch))


def test_regions_are_cut_out_for_the_network_that_sees_most(write: Write) -> None:
    teacher = Teacher([write(1, names=("cat", "dog")), write(2, size=48, context=12, names=("cat", "dog"))])
    assert teacher.crop_for(32, 2, ("cat", "dog")) == (56, 14)  # 28 pixels of a box, as for an input of 32 pixels
    assert teacher.crop_for(64, 4, ("cat", "dog")) == (112, 28)
    assert teacher.crop_for(64, 20, ("cat", "dog")) == (75, 24)


def test_teachers_of_another_kind(write: Write) -> None:
    with pytest.raises(InputError, match=r"safetensors: expected the classes of the data set, class 1 is 'dog'"):
        Teacher([write(1)]).crop_for(32, 2, ("cat", "cow"))
    for other in (write(1, head="svm"), write(1, background=False)):
        with pytest.raises(InputError, match="expected a teacher with a softmax over the classes and background"):
            Teacher([other]).crop_for(32, 2, ("cat", "dog", "cow"))
    with pytest.raises(InputError, match="teacher: expected a task with regions"):
        ClassifierTraining(
            RegionNetwork(GoogLeNet(2, width_multiplier=0.125)),
            TrainingOptions(),
            class_names=("cat", "dog"),
            background=False,
            seed=1,
            input_size=32,
            teacher=Teacher(["a"]),
        )
    with pytest.raises(ValueError, match="members must name at least one"):
        Teacher([])
    with pytest.raises(ValueError, match="share"):
        Teacher(["a"], share=1.1)
