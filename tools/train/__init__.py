"""The commands that train networks."""
