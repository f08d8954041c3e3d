"""Data sets: MNIST, GTSRB, image folders and synthetic images."""
