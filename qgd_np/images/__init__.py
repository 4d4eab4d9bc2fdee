"""The images: CIFAR-10 or synthetic ones."""
