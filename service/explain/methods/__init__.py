"""The methods that explain an answer, and the tests of their maps."""
