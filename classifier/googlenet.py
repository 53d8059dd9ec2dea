"""GoogLeNet: Table 1 and Figure 3 of "Going deeper with convolutions" (arXiv 1409.4842).

`GoogLeNet(1000)` is the network of the paper. Its arguments also build the variant that we train from scratch on small
images (batch normalisation in place of local response normalisation, a stem that keeps more resolution, other widths)
and the variants that the ImageNet weights of torchvision and of Caffe's model zoo were trained for.
"""

from torch import Tensor, nn

from classifier.inception import Convolution, InceptionTrunk, initialise

AUXILIARY_AFTER = ("4a", "4d")
"""The inception modules that have an auxiliary head in training."""


class AuxiliaryHead(nn.Sequential):
    """The auxiliary classifier after 4a or 4d (section 5): [B, in_channels, 14, 14] -> logits [B, num_classes]."""

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


class GoogLeNet(InceptionTrunk):
    """The 22-layer Inception network: zero-mean RGB [B, 3, S, S] -> logits [B, num_classes].

    The defaults build the published network, which is meant for S = 224. Any S of at least 32 works, since the last
    pooling averages over all positions that are left.

    Args:
        num_classes: outputs of the linear layer; for a region classifier, the foreground classes plus background.
        auxiliary_heads: add auxiliary classifiers after 4a and 4d. Only `features_with_auxiliary`
            computes them, and it needs S = 224 then.
        batch_norm: see `InceptionTrunk`.
        stem_stride: see `InceptionTrunk`.
        width_multiplier: see `InceptionTrunk`.
        dropout: probability of dropping a feature before the linear layer; 0.4 in Table 1.
        torchvision_details: see `InceptionTrunk`.
        caffe_details: see `InceptionTrunk`.

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
        caffe_details: bool = False,
    ) -> None:
        super().__init__(
            batch_norm=batch_norm,
            stem_stride=stem_stride,
            width_multiplier=width_multiplier,
            torchvision_details=torchvision_details,
            caffe_details=caffe_details,
        )
        sides = AUXILIARY_AFTER if auxiliary_heads else ()
        self.auxiliary = nn.ModuleDict({name: AuxiliaryHead(self.channels[name], num_classes) for name in sides})
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(self.channels["5b"], num_classes)
        self.auxiliary.apply(initialise)
        self.linear.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(self.features(images)))
        return logits

    def features_with_auxiliary(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the pooled features [B, F], and the logits [B, num_classes] of each auxiliary head, by depth.

        The losses of the auxiliary heads are weighted by 0.3 in training (section 5).
        """
        logits = []
        for name, features in self.modules_in_turn(images):
            if name in self.auxiliary:
                logits.append(self.auxiliary[name](features))
        return self.average(features), logits
