"""Networks of Keras and TensorFlow: reading their files, converting and comparing them."""
