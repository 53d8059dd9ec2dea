"""What all training runs share: order of the samples, optimiser, schedules, averaged weights, checkpoints."""
