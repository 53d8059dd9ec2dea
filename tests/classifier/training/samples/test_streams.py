"""The numbers of the streams of random numbers."""

from classifier.training.samples.streams import RandomStream


def test_a_seed_gives_the_same_samples_as_in_earlier_versions() -> None:
    numbers = {"FIRST_BOXES": 0, "MORE_BOXES": 1, "CHOICES": 2, "DISTORTIONS": 100, "POOLS": 101}
    assert {stream.name: stream.value for stream in RandomStream} == numbers
