"""Commands that check, split and prepare data sets."""
