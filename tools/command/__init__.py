"""The parts that commands share: options, output files, and where proposals come from."""
