"""Published weights, converted to our networks."""
