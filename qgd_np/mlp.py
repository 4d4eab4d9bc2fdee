"""The sigmoid MLP with backprop by hand. Both nets of the paper are this class (section 4.2).

The objective net is 3072-100-10, the DQN 6-32-16-2 (D1). The softmax stands with the loss in
objective.py, so a net here ends in Z_L, its last pre-activation.

Shapes: m rows (images or states), q_l units in layer l (q_0 inputs, q_L outputs), P parameters.
All parameters of a net are one flat vector theta (P,); `layers` gives it its shapes back.
"""

from functools import cache
from itertools import pairwise

import numpy as np

from .backend import column_sums, fused, namespace


@fused
def sigmoid(xp, z):
    """Overwrite z with 1 / (1 + exp(-z)); no overflow at any z."""
    z *= 0.5  # the sigmoid is a scaled tanh, which saturates quietly and is 6 times faster
    xp.tanh(z, out=z)
    z *= 0.5
    z += 0.5


@fused
def through_sigmoid(xp, delta, A):
    """delta times the derivative of the sigmoid, A (1 - A); may overwrite both."""
    delta *= A
    delta *= xp.subtract(1, A, out=A if xp is np else None)  # a GPU need not write it


def shaped(theta, sizes):
    """Return views [(W, b), ...] of a flat theta, W (q, r) and b (r,) for sizes ..., q, r, ..."""
    return [(theta[w].reshape(shape), theta[b]) for w, b, shape in places(sizes)]


@cache
def places(sizes):
    """Where each layer's W and b lie in a flat theta, and the shape of W."""
    found, start = [], 0
    for q, r in pairwise(sizes):
        end = start + q * r
        found.append((slice(start, end), slice(end, end + r), (q, r)))
        start = end + r
    return found


class MLP:
    """A fully connected net, sigmoid hidden layers and identity output; sizes: (3072, 100, 10)."""

    activation, derivative = staticmethod(sigmoid), staticmethod(through_sigmoid)

    def __init__(self, sizes):
        self.sizes = tuple(int(q) for q in sizes)
        if len(self.sizes) < 3 or min(self.sizes) < 1:
            raise ValueError(f"a net needs inputs, hidden units and outputs, got {self.sizes}")
        self.first = (self.sizes[0] + 1) * self.sizes[1]  # theta[:first] is the first layer
        self.n_parameters = sum((q + 1) * r for q, r in pairwise(self.sizes))

    def initialise(self, rng, dtype=np.float32):
        """Draw theta (P,): weights N(0, 1 / fan_in), biases 0 (D5)."""
        theta = np.zeros(self.n_parameters, dtype)
        for W, _ in self.layers(theta):
            W[:] = rng.standard_normal(W.shape) / np.sqrt(W.shape[0])
        return theta

    def layers(self, theta):
        """Return [(W_1, b_1), ..., (W_L, b_L)], views of theta; W_l (q_{l-1}, q_l), b_l (q_l,)."""
        return shaped(theta, self.sizes)

    def forward(self, theta, inputs):
        """Run inputs (m, q_0) through the net; return [A_1, ..., A_{L-1}, Z_L], A_l (m, q_l)."""
        return self.forward_from(inputs, self.layers(theta))[1:]

    def forward_from(self, A, layers):
        """The forward pass from A = A_l (m, q_l) through the layers after it: [A_l, ..., Z_L]."""
        activations = [A]
        for W, b in layers:
            Z = activations[-1] @ W  # (m, q_{l+1})
            Z += b
            activations.append(Z if W is layers[-1][0] else self.activation(Z))  # Z_L or A_{l+1}
        return activations

    def backward(self, theta, inputs, activations, delta):
        """Return the gradient (P,) of a loss with derivative delta (m, q_L) by Z_L."""
        gradient = namespace(theta).empty_like(theta)
        (gW, gb), *slots = self.layers(gradient)
        delta = self.backward_to(self.layers(theta)[1:], slots, activations, delta)
        namespace(theta).matmul(inputs.T, delta, out=gW)  # (q_0, q_1)
        column_sums(delta, out=gb)  # (q_1,)
        return gradient

    def backward_to(self, layers, slots, activations, delta, out=None):
        """The backward pass down to the derivative by Z_1 (m, q_1), returned and put in out.

        layers: those after the first; slots: where their gradients go. Overwrites the activations.
        """
        xp, lowest = namespace(delta), activations[0]
        for (W, _), (gW, gb), A in zip(layers[::-1], slots[::-1], activations[-2::-1], strict=True):
            # what the layer's own parameters get
            xp.matmul(A.T, delta, out=gW)  # (q_{l-1}, q_l)
            column_sums(delta, out=gb)  # (q_l,)
            # what is handed down
            delta = xp.matmul(delta, W.T, out=out if A is lowest else None)  # (m, q_{l-1})
            self.derivative(delta, A)
        return delta
