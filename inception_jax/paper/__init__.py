"""What the paper prints, and the same computed from the network."""
