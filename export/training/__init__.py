"""Training with Keras: optimizers, augmentation, checkpoints, ensembles."""
