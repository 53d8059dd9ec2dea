"""Files that hold networks, with a description of each: safetensors for PyTorch, and ONNX."""
