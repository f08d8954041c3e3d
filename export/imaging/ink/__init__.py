"""The resize rule `ink`: finds the one glyph of an image and draws it as MNIST does.

The package imports nothing else of the service: `export/imaging/ink` has the same files.
"""
