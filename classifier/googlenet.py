"""GoogLeNet: Table 1 and Figure 3 of "Going deeper with convolutions" (arXiv 1409.4842).

`GoogLeNet(1000)` is the network of the paper. Options turn it into the variant that trains from scratch on
small pictures: batch normalisation in place of local response normalisation, a stem that keeps more resolution,
another width; or into the one that torchvision's ImageNet weights are made for.
"""

from __future__ import annotations

from torch import Tensor, nn

from classifier.inception import Convolution, InceptionTrunk, initialise
from detection.runtime.int8 import QuantisedMean

AUXILIARY_AFTER = ("4a", "4d")


class AuxiliaryHead(nn.Sequential):
    """The side classifier on 4a and 4d (section 5): [B, in, 14, 14] -> logits [B, num_classes]."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(
            nn.AvgPool2d(5, stride=3),
            Convolution(in_channels, 128, 1, batch_norm=False),
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(0.7),
            nn.Linear(1024, num_classes),
        )


class SpatialMean(nn.Module):
    """The mean over all places: [B, C, H, W] -> [B, C]."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))


class GoogLeNet(InceptionTrunk):
    """The 22-layer Inception network: zero-mean RGB [B, 3, S, S] -> logits [B, num_classes].

    The defaults are the published network, made for S = 224; any S of at least 32 works, since the last pooling
    averages over whatever is left.

    Args:
        num_classes: outputs of the linear layer; for a region classifier the foreground classes plus background.
        auxiliary_heads: side classifiers on 4a and 4d, for `forward_with_auxiliary` alone, which needs S = 224.
        batch_norm: see `InceptionTrunk`.
        stem_stride: see `InceptionTrunk`.
        width_multiplier: see `InceptionTrunk`.
        dropout: probability of dropping a feature before the linear layer; 0.4 in Table 1.
        torchvision_details: see `InceptionTrunk`.

    Raises:
        ValueError: see `InceptionTrunk`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        auxiliary_heads: bool = False,
        batch_norm: bool = False,
        stem_stride: int = 8,
        width_multiplier: float = 1.0,
        dropout: float = 0.4,
        torchvision_details: bool = False,
    ) -> None:
        super().__init__(
            batch_norm=batch_norm,
            stem_stride=stem_stride,
            width_multiplier=width_multiplier,
            torchvision_details=torchvision_details,
        )
        sides = AUXILIARY_AFTER if auxiliary_heads else ()
        self.auxiliary = nn.ModuleDict({name: AuxiliaryHead(self.channels[name], num_classes) for name in sides})
        self.average: nn.Module = SpatialMean()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.channels["5b"], num_classes)
        self.auxiliary.apply(initialise)
        self.linear.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """The pooled features that the linear layer reads: [B, 3, S, S] -> [B, F], F = 1024 at width 1."""
        return self._pooled(images, heads={})[0]

    def quantise(self) -> dict[str, float]:
        """Compute in bytes up to the pooled features, which are float32; see `InceptionTrunk.quantise`."""
        scales = super().quantise()
        self.average = QuantisedMean(input_scale=scales["5b"])
        return scales

    def features_with_auxiliary(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The features [B, F], and logits [B, num_classes] of each auxiliary head in order of depth."""
        return self._pooled(images, heads=dict(self.auxiliary.items()))

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, num_classes] of `features` [B, F], through dropout and the linear layer."""
        logits: Tensor = self.linear(self.dropout(features))
        return logits

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of the main head [B, num_classes], and of each auxiliary head in order of depth.

        Their losses weigh 0.3 in training (section 5).
        """
        features, auxiliary_logits = self.features_with_auxiliary(images)
        return self.classify(features), auxiliary_logits

    def _pooled(self, images: Tensor, heads: dict[str, nn.Module]) -> tuple[Tensor, list[Tensor]]:
        """The pooled features, and what each of the heads makes of the module that it is named after."""
        logits = []
        for name, features in self.walk(images):
            if name in heads:
                logits.append(heads[name](features))
        return self.average(features), logits
