"""What is trained: formulas of one neuron; no loop over neurons, no input or output."""
